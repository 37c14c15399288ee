"""Whether a second session, with all cores for one run, is worth its memory: measured when a model is loaded.

A run that is alone on two cores takes little more than half the time with two threads when the model is large, and
longer than with one when it is small: handing work between threads costs tens of microseconds for every operator.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from services.shared.clock import Clock
from services.shared.errors import InferenceFailed

BRIEF_S = 0.002  # runs under this gain nothing that a caller would notice
MIN_GAIN = 1.15
_ROUNDS, _MIN_ROUNDS = 5, 2
_BUDGET_S = 0.5
_FAIR = 0.05  # of a round's time that threads of this process may have waited for a core
_TASKS = Path("/proc/self/task")

Run = Callable[[], object]
Session = TypeVar("Session")


@dataclass(frozen=True, slots=True)
class Round:
    """One run each way, and how long threads of this process waited meanwhile for a core that others had."""

    narrow_s: float
    wide_s: float
    waited_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether to keep the wide session, and why."""

    keep: bool
    reason: str


def choose_wide(
    narrow: Session,
    open_wide: Callable[[], Session],
    run: Callable[[Session], object],
    threads: int,
    clock: Clock,
    waited_s: Callable[[], float],
) -> tuple[Session | None, Verdict]:
    """The session of `threads` threads for runs that are alone, if it is worth one; it is not even opened when a run of
    the narrow one is brief. `run` makes one run of the smallest batch, or raises InferenceFailed."""
    try:
        run(narrow)  # the first run of a session allocates
        if _seconds(lambda: run(narrow), clock) < BRIEF_S:
            return None, Verdict(False, f"one thread for a run that is alone, too: it takes under {1000 * BRIEF_S} ms")
        wide = open_wide()
        verdict = judge(measure(lambda: run(narrow), lambda: run(wide), clock, waited_s), threads)
    except InferenceFailed as error:
        return None, Verdict(False, f"one thread for a run that is alone, too: {error.detail}")
    return wide if verdict.keep else None, verdict


def measure(narrow: Run, wide: Run, clock: Clock, waited_s: Callable[[], float]) -> tuple[Round, ...]:
    """Runs by turns, so that what else happens on the machine meets both. Bounded: about half a second, and two rounds
    at least. `waited_s` counts up."""
    wide()
    rounds: list[Round] = []
    end_s = clock.monotonic() + _BUDGET_S
    while len(rounds) < _MIN_ROUNDS or (len(rounds) < _ROUNDS and clock.monotonic() < end_s):
        before_s = waited_s()
        narrow_s, wide_s = _seconds(narrow, clock), _seconds(wide, clock)
        rounds.append(Round(narrow_s, wide_s, waited_s() - before_s))
    return tuple(rounds)


def judge(rounds: Sequence[Round], threads: int) -> Verdict:
    """By the medians of the rounds that had the cores to themselves. Without two such rounds nothing was measured, and
    the session is kept: models above `BRIEF_S` are faster with it as a rule, and the other error is only memory."""
    fair = [r for r in rounds if r.waited_s <= _FAIR * (r.narrow_s + r.wide_s)]
    if len(fair) < _MIN_ROUNDS:
        return Verdict(True, f"{threads} threads for a run that is alone, not measured because the cores were busy")
    narrow_s, wide_s = _median([r.narrow_s for r in fair]), _median([r.wide_s for r in fair])
    times = f"{1000 * narrow_s:.1f} ms with one, {1000 * wide_s:.1f} ms with {threads}"
    if narrow_s >= MIN_GAIN * wide_s:
        return Verdict(True, f"{threads} threads for a run that is alone ({times})")
    return Verdict(False, f"one thread for a run that is alone, too ({times})")


def waited_s() -> float:
    """How long threads of this process have waited, ready to run, for a core: the second number of each task's
    `schedstat` in nanoseconds (Linux, Documentation/scheduler/sched-stats.rst). 0 where the system does not say."""
    total_ns = 0
    with contextlib.suppress(OSError):
        for task in _TASKS.iterdir():
            with contextlib.suppress(OSError, ValueError, IndexError):  # a thread may end while we look
                total_ns += int((task / "schedstat").read_text().split()[1])
    return total_ns / 1e9


def _median(values: Sequence[float]) -> float:
    """The lower one of the two in the middle. (`statistics` takes 10 ms to import, which a start would pay.)"""
    return sorted(values)[(len(values) - 1) // 2]


def _seconds(run: Run, clock: Clock) -> float:
    before_s = clock.monotonic()
    run()
    return clock.monotonic() - before_s
