"""How commands speak: tables and bars for people, JSON for machines, exit codes that mean something."""

from __future__ import annotations

import enum
from typing import Any, NoReturn

import orjson
import typer
from rich.console import Console
from rich.markup import escape

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


class Exit(enum.IntEnum):
    """The exit codes of every command."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    REFUSED = 3  # the server answered, and said no
    UNREACHABLE = 4


def fail(message: str, code: Exit) -> NoReturn:
    """Says why on standard error and ends the command."""
    err.print(f"[bold red]error:[/] {escape(message)}", soft_wrap=True)
    raise typer.Exit(code)


def print_json(document: Any) -> None:
    """One JSON document on standard output, nothing else."""
    typer.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode())


def bar(fraction: float, width: int = 24) -> str:
    """A bar of `width` cells for a fraction between 0 and 1, to an eighth of a cell."""
    eighths = round(min(max(fraction, 0.0), 1.0) * width * 8)
    return "█" * (eighths // 8) + (" ▏▎▍▌▋▊▉"[eighths % 8] if eighths % 8 else "")
