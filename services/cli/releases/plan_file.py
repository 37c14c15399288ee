"""A plan in a file: read, and checked without a server."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from services.cli.terminal import Exit, fail
from services.shared.release.parse_plan import parse_plan
from services.shared.release.plan import Plan
from services.shared.release.plan_document import InvalidPlan

STANDARD_INPUT = "-"


@dataclass(frozen=True, slots=True)
class PlanFile:
    """A plan with the text that it was read from."""

    text: str
    plan: Plan


def read_plan(path: Path) -> PlanFile:
    """Ends the command, naming the file, the line and the field, where it holds no plan; `-` is standard input."""
    name = "standard input" if str(path) == STANDARD_INPUT else str(path)
    try:
        text = sys.stdin.read() if str(path) == STANDARD_INPUT else path.read_text(encoding="utf-8")
    except OSError as error:
        fail(f"{name} cannot be read: {error.strerror}", Exit.USAGE)
    except UnicodeDecodeError as error:
        fail(f"{name} is not UTF-8: {error.reason} at byte {error.start}", Exit.USAGE)
    try:
        return PlanFile(text, parse_plan(text))
    except InvalidPlan as error:
        fail(f"{name}, {error.detail}", Exit.USAGE)
