"""Waiting for what other threads and tasks do, with a bound."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

BOUND_S = 20.0


async def until(condition: Callable[[], bool]) -> None:
    """Returns as soon as the condition holds; raises TimeoutError when it does not within BOUND_S."""
    async with asyncio.timeout(BOUND_S):
        while not condition():
            await asyncio.sleep(0.001)
