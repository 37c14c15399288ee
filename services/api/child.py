"""A process of the API as its parent sees it, and who gets the next connection.

starting ──"serving"──> serving ──"ready"──> ready ──finish──> finishing ──exit──> gone
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

from services.api.child_process import ChildProcess


class Phase(enum.Enum):
    STARTING = "starting"
    SERVING = "serving"
    READY = "ready"
    FINISHING = "finishing"


@dataclass(slots=True, eq=False)
class Child:
    """A process of the API as its parent sees it; `open` counts the connections handed to it and not yet closed."""

    process: ChildProcess
    started_at: float
    phase: Phase = Phase.STARTING
    open: int = 0


def least_busy(children: Sequence[Child]) -> Child | None:
    """Who gets the next connection: of the ready processes (or, while none is, the serving ones) the one with the
    fewest open connections, the first among equals; None when nobody can answer."""
    for phase in (Phase.READY, Phase.SERVING):
        able = [child for child in children if child.phase is phase]
        if able:
            return min(able, key=lambda child: child.open)
    return None
