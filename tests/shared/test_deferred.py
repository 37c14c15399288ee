from __future__ import annotations

import asyncio
import threading

from services.shared.deferred import Deferred
from tests.support.polling import until


class Maker:
    """Makes objects, as slowly as `go` lets it; the first `failures` times it fails."""

    def __init__(self, failures: int = 0) -> None:
        self.go, self.threads, self._failures = threading.Event(), list[int](), failures

    def __call__(self) -> object:
        self.threads.append(threading.get_ident())
        assert self.go.wait(20)
        if len(self.threads) <= self._failures:
            raise ImportError("not there")
        return object()


async def test_it_is_made_once_off_the_loop_for_all_who_ask() -> None:
    maker = Maker()
    deferred = Deferred(maker)
    assert deferred.made is None
    asking = [asyncio.create_task(deferred.get()) for _ in range(5)]
    await until(lambda: bool(maker.threads))  # the loop runs while it is being made
    maker.go.set()
    found = {id(await each) for each in asking}
    assert found == {id(await deferred.get())} == {id(deferred.made)}
    assert len(maker.threads) == 1
    assert maker.threads != [threading.get_ident()]


async def test_one_who_gives_up_does_not_stop_it_for_the_others() -> None:
    maker = Maker()
    deferred = Deferred(maker)
    gives_up, stays = (asyncio.create_task(deferred.get()) for _ in range(2))
    await until(lambda: bool(maker.threads))
    gives_up.cancel()
    maker.go.set()
    assert await stays is deferred.made
    assert gives_up.cancelled()
    assert len(maker.threads) == 1


async def test_what_could_not_be_made_is_told_to_all_and_tried_again() -> None:
    maker = Maker(failures=1)
    deferred = Deferred(maker)
    maker.go.set()
    found = await asyncio.gather(deferred.get(), deferred.get(), return_exceptions=True)
    assert [str(each) for each in found] == ["not there", "not there"]
    assert deferred.made is None
    assert await deferred.get() is deferred.made
    assert len(maker.threads) == 2
