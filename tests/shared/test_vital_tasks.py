"""A process ends when a part of it breaks, and for no other end of a part."""

from __future__ import annotations

import asyncio

import pytest

from services.shared.vital_tasks import VitalTasks


async def _breaks() -> None:
    raise RuntimeError("why")


async def test_one_that_breaks_ends_the_process_with_status_1(caplog: pytest.LogCaptureFixture) -> None:
    ended = asyncio.Event()
    tasks = VitalTasks("the process", ended.set)
    task = tasks.start(_breaks(), "looks")
    await asyncio.wait_for(ended.wait(), 5)
    assert (tasks.status, str(task.exception())) == (1, "why")
    [record] = caplog.records
    assert (record.getMessage(), record.part) == ("the process ends, a part of it broke", "looks")  # type: ignore[attr-defined]


async def test_one_that_is_done_or_cancelled_does_not() -> None:
    ended = asyncio.Event()
    tasks = VitalTasks("the process", ended.set)
    done, cancelled = tasks.start(asyncio.sleep(0), "done"), tasks.start(asyncio.sleep(60), "cancelled")
    await done
    cancelled.cancel()
    await asyncio.gather(cancelled, return_exceptions=True)
    await asyncio.sleep(0)
    assert (tasks.status, ended.is_set()) == (0, False)
