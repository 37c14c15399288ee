from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from services.shared.backends.onnx_runtime_wide import Round, choose_wide, judge, waited_s
from services.shared.clock import ManualClock
from services.shared.errors import InferenceFailed
from tests.support.polling import until

FAST, SLOW = Round(0.080, 0.042), Round(0.080, 0.075)
BUSY = Round(0.080, 0.080, waited_s=0.060)


@pytest.mark.parametrize(
    ("rounds", "keep", "reason"),
    [
        ([FAST] * 5, True, "2 threads for a run that is alone (80.0 ms with one, 42.0 ms with 2)"),
        ([SLOW] * 5, False, "one thread for a run that is alone, too (80.0 ms with one, 75.0 ms with 2)"),
        ([Round(0.115, 0.1)] * 3, True, "2 threads for a run that is alone (115.0 ms with one, 100.0 ms with 2)"),
        (
            [Round(0.114, 0.1)] * 3,
            False,
            "one thread for a run that is alone, too (114.0 ms with one, 100.0 ms with 2)",
        ),
        (
            [FAST, FAST, Round(0.080, 0.500)],
            True,
            "2 threads for a run that is alone (80.0 ms with one, 42.0 ms with 2)",
        ),
        # Cores that others had measure nothing: neither for the session nor against it.
        ([FAST, BUSY, BUSY, FAST], True, "2 threads for a run that is alone (80.0 ms with one, 42.0 ms with 2)"),
        ([SLOW, BUSY, SLOW], False, "one thread for a run that is alone, too (80.0 ms with one, 75.0 ms with 2)"),
        ([SLOW, BUSY, BUSY], True, "2 threads for a run that is alone, not measured because the cores were busy"),
        ([], True, "2 threads for a run that is alone, not measured because the cores were busy"),
    ],
)
def test_wide_session_is_kept_for_what_was_measured(rounds: list[Round], keep: bool, reason: str) -> None:
    verdict = judge(rounds, 2)
    assert (verdict.keep, verdict.reason) == (keep, reason)


class Machine:
    """Sessions by name, each with the seconds that a run takes."""

    def __init__(self, seconds: dict[str, float], *, waits: float = 0.0) -> None:
        self.clock, self.seconds, self.waits = ManualClock(), seconds, waits
        self.opened = 0
        self.waited = 0.0

    def open_wide(self) -> str:
        self.opened += 1
        return "wide"

    def run(self, session: str) -> None:
        self.clock.advance(self.seconds[session])
        self.waited += self.waits

    def choose(self, run: Callable[[str], None] | None = None) -> tuple[str | None, str]:
        chosen = choose_wide("narrow", self.open_wide, run or self.run, 2, self.clock, lambda: self.waited)
        session, verdict = chosen
        assert verdict.keep == (session is not None)
        return session, verdict.reason


def test_faster_session_is_chosen() -> None:
    assert Machine({"narrow": 0.02, "wide": 0.011}).choose()[0] == "wide"


def test_session_that_is_no_faster_is_not_chosen() -> None:
    assert Machine({"narrow": 0.02, "wide": 0.02}).choose()[0] is None


def test_brief_model_gets_no_second_session_at_all() -> None:
    machine = Machine({"narrow": 0.0019, "wide": 0.0001})
    session, reason = machine.choose()
    assert (session, machine.opened) == (None, 0)
    assert "under 2.0 ms" in reason


def test_busy_machine_decides_nothing() -> None:
    session, reason = Machine({"narrow": 0.02, "wide": 0.05}, waits=0.03).choose()
    assert session == "wide"
    assert "busy" in reason


def test_measuring_is_bounded_in_time() -> None:
    machine = Machine({"narrow": 3.0, "wide": 2.0})
    before_s = machine.clock.monotonic()
    machine.choose()
    # One run of each to warm up, one to see whether it is brief, and two rounds: 3 + 3 + 2 + 2 * (3 + 2).
    assert machine.clock.monotonic() - before_s == pytest.approx(18.0)


def test_model_that_fails_on_zeros_is_left_to_its_warm_up() -> None:
    def fail(session: str) -> None:
        raise InferenceFailed("indices out of range")

    session, reason = Machine({}).choose(fail)
    assert session is None
    assert "indices out of range" in reason


@pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="needs Linux with CONFIG_SCHED_INFO")
async def test_time_that_threads_wait_for_a_core_is_counted() -> None:
    def waited_after_work() -> bool:
        sum(range(200_000))
        return waited_s() > before_s + 0.01

    before_s = waited_s()
    endless = (sys.executable, "-S", "-c", "while True: pass")
    others = [await asyncio.create_subprocess_exec(*endless) for _ in range(2 * len(os.sched_getaffinity(0)))]
    try:
        await until(waited_after_work)
    finally:
        for other in others:
            other.kill()
            await other.wait()
