"""Parts of a process that its first answer does not need."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

_T = TypeVar("_T")


class Deferred(Generic[_T]):
    """Something made once, by `make` in a thread, when `get` first asks for it: whatever `make` imports costs a start
    nothing. Belongs to one event loop. Where `make` raises, so does `get`, and the next one tries again."""

    def __init__(self, make: Callable[[], _T]) -> None:
        self._make = make
        self._making: asyncio.Task[_T] | None = None
        self._made: _T | None = None

    @property
    def made(self) -> _T | None:
        """None until `get` has returned for the first time."""
        return self._made

    async def get(self) -> _T:
        if self._made is not None:
            return self._made
        if self._making is None:
            self._making = asyncio.create_task(asyncio.to_thread(self._make))
        making = self._making
        try:
            self._made = await asyncio.shield(making)  # whoever stops waiting does not stop it for the others
        finally:
            if making.done() and self._making is making:
                self._making = None
        return self._made
