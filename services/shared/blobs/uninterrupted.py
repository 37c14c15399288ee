"""Work of a store that goes on when its caller is cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


async def finished(work: Awaitable[T]) -> T:
    """The result of `work`, which a cancelled caller waits for as well, and then is cancelled.

    A thread or a request on the wire cannot be taken back: if the caller were gone, it would write after the clean-up.
    The work must end by itself.
    """
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():  # each wait may be cancelled once more
            try:
                await asyncio.wait({task})
            except asyncio.CancelledError:
                continue
        if not task.cancelled():
            task.exception()  # seen: the caller has another reason to end
        raise
