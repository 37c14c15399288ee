from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable

import pytest

from services.shared.cancellation import heeding_cancellation


async def test_a_result_and_a_failure_are_passed_on() -> None:
    assert await heeding_cancellation(asyncio.sleep(0, "done")) == "done"

    async def fail() -> None:
        raise KeyError("why")

    with pytest.raises(KeyError, match="why"):
        await heeding_cancellation(fail())


async def deaf(gone_on: list[bool], failure: Exception | None = None) -> None:
    """Waits, and passes over being cancelled."""
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        gone_on.append(True)
    if failure is not None:
        raise failure


@pytest.mark.parametrize("failure", [None, OSError("the server went away")], ids=["a result", "a failure"])
async def test_a_cancelled_task_ends_where_its_work_went_on(failure: Exception | None) -> None:
    async def work(heard: Awaitable[None]) -> None:
        with contextlib.suppress(OSError):
            await heard
        await asyncio.Event().wait()

    gone_on: list[bool] = []
    task = asyncio.create_task(work(heeding_cancellation(deaf(gone_on, failure))))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task}, timeout=5)
    assert task.cancelled()
    assert gone_on


async def test_a_timeout_that_has_passed_is_a_timeout() -> None:
    gone_on: list[bool] = []
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await heeding_cancellation(deaf(gone_on))
    assert await heeding_cancellation(asyncio.sleep(0, "the task goes on")) == "the task goes on"
