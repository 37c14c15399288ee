from __future__ import annotations

import asyncio

import pytest

from services.shared.blobs.uninterrupted import finished


async def test_a_result_and_a_failure_are_passed_on() -> None:
    assert await finished(asyncio.sleep(0, "done")) == "done"

    async def fail() -> None:
        raise KeyError("why")

    with pytest.raises(KeyError, match="why"):
        await finished(fail())


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("cancels", [1, 3])
async def test_a_cancelled_caller_waits_until_the_work_has_ended(cancels: int, fails: bool) -> None:
    go, ended = asyncio.Event(), []

    async def work() -> None:
        await go.wait()
        ended.append(True)
        if fails:
            raise KeyError("nobody waits for this")

    task = asyncio.create_task(finished(work()))
    for _ in range(cancels):
        await asyncio.sleep(0)
        task.cancel()
    for _ in range(5):
        await asyncio.sleep(0)
    assert not task.done()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == [True]
