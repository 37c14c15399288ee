"""Both timers keep the same promises."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable

import pytest

from services.cli.measure.precise_timer import LoopTimer, Timer, TimerFd, best_timer
from tests.support.polling import until

Make = Callable[[asyncio.AbstractEventLoop, Callable[[], None]], Timer]


@pytest.fixture(
    params=[LoopTimer, pytest.param(TimerFd, marks=pytest.mark.skipif(sys.platform != "linux", reason="Linux only"))]
)
def make(request: pytest.FixtureRequest) -> Make:
    made: Make = request.param
    return made


class Rung(list[float]):
    def __call__(self) -> None:
        self.append(time.monotonic())


async def test_it_rings_once_and_not_before_its_time(make: Make) -> None:
    rung = Rung()
    timer = make(asyncio.get_running_loop(), rung)
    for number in (1, 2):
        due_s = time.monotonic() + 0.02
        timer.set(due_s)
        await until(lambda number=number: len(rung) == number)  # type: ignore[misc]
        # A loop's clock has a resolution, within which its timers may ring.
        assert rung[-1] >= due_s - 0.001
    await asyncio.sleep(0.03)
    assert len(rung) == 2
    timer.close()


@pytest.mark.parametrize("at_s", [0.0, 1.0])
async def test_a_time_that_has_passed_rings_at_once(make: Make, at_s: float) -> None:
    rung = Rung()
    timer = make(asyncio.get_running_loop(), rung)
    timer.set(at_s)
    await until(lambda: len(rung) == 1)
    timer.close()


async def test_setting_it_again_moves_it(make: Make) -> None:
    rung = Rung()
    timer = make(asyncio.get_running_loop(), rung)
    timer.set(time.monotonic() + 0.01)
    timer.set(time.monotonic() + 3600)
    await asyncio.sleep(0.03)
    assert not rung
    timer.set(time.monotonic() + 0.01)
    await until(lambda: len(rung) == 1)
    timer.close()


async def test_a_closed_one_is_silent(make: Make) -> None:
    rung = Rung()
    timer = make(asyncio.get_running_loop(), rung)
    timer.set(time.monotonic() + 0.01)
    timer.close()
    await asyncio.sleep(0.03)
    assert not rung


async def test_this_system_has_one() -> None:
    timer = best_timer(asyncio.get_running_loop(), lambda: None)
    assert isinstance(timer, TimerFd if sys.platform == "linux" else LoopTimer)
    timer.close()
