"""Being cancelled while waiting for a library that may pass over it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


async def heeding_cancellation(work: Awaitable[T]) -> T:
    """What `work` gives or raises; CancelledError when this task was cancelled meanwhile and `work` went on as if not.

    Before Python 3.12 `asyncio.wait_for` gives the result when that and the cancellation come in one turn of the loop
    (issue 86296 of python/cpython), and redis-py sends every command inside it: a task that asks Redis again and again
    could not be stopped with certainty.
    """
    task = asyncio.current_task()
    before = task.cancelling() if task is not None else 0
    try:
        return await work
    finally:
        if task is not None and task.cancelling() > before:
            raise asyncio.CancelledError
