"""Rings from other threads, rings before anybody waits, and none at all."""

from __future__ import annotations

import asyncio
import threading

from services.worker.bell import Bell

LONG_S = 60.0


async def test_a_ring_from_another_thread_is_heard_by_all_who_wait() -> None:
    bell = Bell()
    waiting = [asyncio.create_task(bell.heard(LONG_S)) for _ in range(3)]
    await asyncio.sleep(0)
    threading.Thread(target=bell.ring).start()
    async with asyncio.timeout(20):
        await asyncio.gather(*waiting)


async def test_a_ring_that_nobody_waited_for_is_heard_once() -> None:
    bell = Bell()
    bell.ring()
    async with asyncio.timeout(20):
        await bell.heard(LONG_S)
    waiting = asyncio.create_task(bell.heard(LONG_S))
    done, _ = await asyncio.wait((waiting,), timeout=0.05)
    assert not done
    waiting.cancel()


async def test_without_a_ring_the_wait_ends_by_itself() -> None:
    async with asyncio.timeout(20):
        await Bell().heard(0.001)


def test_a_ring_after_the_end_of_the_loop_is_no_error() -> None:
    async def make() -> Bell:
        return Bell()

    asyncio.run(make()).ring()
