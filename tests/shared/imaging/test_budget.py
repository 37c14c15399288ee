from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from services.shared.imaging.budget import PixelBudget, Reservation

WAIT_S = 20


class Holder:
    """A thread that takes `size_bytes` and keeps them until it is told to let go."""

    def __init__(self, budget: PixelBudget, size_bytes: int) -> None:
        self.has_it, self._let_go = threading.Event(), threading.Event()

        def hold() -> None:
            with Reservation(budget) as room:
                room.take(size_bytes)
                self.has_it.set()
                assert self._let_go.wait(WAIT_S)

        self._thread = threading.Thread(target=hold)
        self._thread.start()

    def let_go(self) -> None:
        self._let_go.set()
        self._thread.join(WAIT_S)
        assert not self._thread.is_alive()


def waiting(budget: PixelBudget, count: int) -> None:
    """Polls until so many wait in the queue."""
    deadline = time.monotonic() + WAIT_S
    while budget.waiting != count:
        assert time.monotonic() < deadline, f"{budget.waiting} wait, not {count}"
        time.sleep(0.001)


def test_what_fits_goes_in_at_once_and_what_does_not_waits() -> None:
    budget = PixelBudget(100)
    first, second = Holder(budget, 60), Holder(budget, 40)
    assert first.has_it.wait(WAIT_S)
    assert second.has_it.wait(WAIT_S)
    assert budget.used_bytes == 100
    third = Holder(budget, 1)
    waiting(budget, 1)
    assert not third.has_it.is_set()
    second.let_go()
    assert third.has_it.wait(WAIT_S)
    first.let_go()
    third.let_go()
    assert budget.used_bytes == 0


def test_one_that_is_larger_than_the_budget_runs_alone() -> None:
    budget = PixelBudget(100)
    small = Holder(budget, 1)
    assert small.has_it.wait(WAIT_S)
    huge = Holder(budget, 1000)
    waiting(budget, 1)
    assert not huge.has_it.is_set()
    small.let_go()
    assert huge.has_it.wait(WAIT_S)
    after = Holder(budget, 1)
    waiting(budget, 1)
    assert not after.has_it.is_set()
    huge.let_go()
    assert after.has_it.wait(WAIT_S)
    after.let_go()


def test_a_large_one_is_not_starved_by_small_ones_behind_it() -> None:
    budget = PixelBudget(100)
    holding = Holder(budget, 50)
    assert holding.has_it.wait(WAIT_S)
    large = Holder(budget, 80)
    waiting(budget, 1)
    small = Holder(budget, 10)  # would fit now
    waiting(budget, 2)
    assert not small.has_it.is_set()
    holding.let_go()
    assert large.has_it.wait(WAIT_S)
    assert small.has_it.wait(WAIT_S)
    large.let_go()
    small.let_go()


def test_an_error_gives_everything_back() -> None:
    budget = PixelBudget(100)

    def fail() -> None:
        with Reservation(budget) as room:
            room.take(100)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert budget.used_bytes == 0


def test_a_wait_that_is_broken_off_leaves_the_queue() -> None:
    class Interrupted(PixelBudget):
        def _has_room(self, size_bytes: int) -> bool:
            if size_bytes == 13:
                raise KeyboardInterrupt
            return super()._has_room(size_bytes)

    budget = Interrupted(100)
    with pytest.raises(KeyboardInterrupt), Reservation(budget) as room:
        room.take(13)
    assert (budget.waiting, budget.used_bytes) == (0, 0)
    behind = Holder(budget, 100)
    assert behind.has_it.wait(WAIT_S)
    behind.let_go()


def test_taking_again_replaces_what_was_taken() -> None:
    budget = PixelBudget(100)
    with Reservation(budget) as room:
        room.take(70)
        room.take(90)  # would wait for itself if the first were kept
        assert budget.used_bytes == 90
    assert budget.used_bytes == 0


def test_without_a_budget_nothing_is_counted() -> None:
    with Reservation(None) as room:
        room.take(1 << 60)


@pytest.mark.parametrize("size_bytes", [0, -1])
def test_a_budget_that_lets_nothing_through_is_refused(size_bytes: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        PixelBudget(size_bytes)


def test_many_threads_never_hold_more_than_the_budget() -> None:
    budget = PixelBudget(100)
    counted, peak, held = threading.Lock(), 0, 0

    def work(seed: int) -> None:
        nonlocal peak, held
        for turn in range(30):
            size = (seed * 31 + turn * 17) % 60 + 1
            with Reservation(budget) as room:
                room.take(size)
                if turn % 3 == 0:
                    room.take(size := 61 - size)
                with counted:
                    held += size
                    peak = max(peak, held)
                with counted:
                    held -= size

    with ThreadPoolExecutor(16) as pool:
        all_of(pool, work, 16)
    assert 0 < peak <= 100
    assert (budget.used_bytes, budget.waiting) == (0, 0)


def all_of(pool: ThreadPoolExecutor, work: Callable[[int], None], count: int) -> None:
    futures: list[Future[None]] = [pool.submit(work, seed) for seed in range(count)]
    for future in futures:
        future.result(timeout=WAIT_S)
