"""Values that cost a call, kept for a short time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from services.shared.clock import Clock
from services.shared.errors import NotReady, ServingError
from services.shared.model_ref import ModelRef

MAX_ENTRIES = 1024
Value = TypeVar("Value")


@dataclass(slots=True, eq=False)
class _Entry(Generic[Value]):
    """`tried` and `fetched` in monotonic seconds: the last fetch that ended, and the last that gave a value."""

    value: Value | None = None
    fetched: float = float("-inf")
    tried: float = float("-inf")
    task: asyncio.Task[Value] | None = None


class BriefCache(Generic[Value]):
    """One value per model version, fetched by one call however many ask at once; an error is not kept."""

    def __init__(self, fetch: Callable[[ModelRef], Awaitable[Value]], *, ttl_s: float, clock: Clock) -> None:
        self._fetch = fetch
        self._ttl_s = ttl_s
        self._clock = clock
        self._entries: dict[ModelRef, _Entry[Value]] = {}

    async def get(self, ref: ModelRef) -> Value:
        """A value of at most the lifetime's age; raises what the fetch raises."""
        entry = self._entry(ref)
        if entry.value is not None and self._clock.monotonic() - entry.fetched < self._ttl_s:
            return entry.value
        task = self._refresh(ref, entry)
        try:
            return await asyncio.shield(task)  # others may wait for the same fetch
        except asyncio.CancelledError:
            if task.cancelled():  # by `close`, not by whoever cancelled this caller
                raise NotReady("the client is closed") from None
            raise

    def latest(self, ref: ModelRef) -> Value | None:
        """At once, whatever was fetched last, however old; what is too old is fetched again in the background."""
        entry = self._entry(ref)
        if self._clock.monotonic() - entry.tried >= self._ttl_s:
            self._refresh(ref, entry)
        return entry.value

    def forget(self, name: str) -> None:
        """Drops every version of a model; a fetch that runs now is not kept either."""
        for ref in [ref for ref in self._entries if ref.name == name]:
            del self._entries[ref]

    async def close(self) -> None:
        tasks = [entry.task for entry in self._entries.values() if entry.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _entry(self, ref: ModelRef) -> _Entry[Value]:
        entry = self._entries.get(ref)
        if entry is None:
            if len(self._entries) >= MAX_ENTRIES:  # names that callers made up must not fill the memory
                del self._entries[next(iter(self._entries))]
            entry = self._entries[ref] = _Entry()
        return entry

    def _refresh(self, ref: ModelRef, entry: _Entry[Value]) -> asyncio.Task[Value]:
        if entry.task is None:
            entry.task = asyncio.get_running_loop().create_task(self._run(ref, entry))
            entry.task.add_done_callback(_look_at_outcome)
        return entry.task

    async def _run(self, ref: ModelRef, entry: _Entry[Value]) -> Value:
        try:
            entry.value = await self._fetch(ref)
            entry.fetched = self._clock.monotonic()
            return entry.value
        finally:
            entry.tried = self._clock.monotonic()
            entry.task = None


def _look_at_outcome(task: asyncio.Task[Value]) -> None:
    """An error that no caller waits for is not a fault: the next one that asks gets it."""
    if not task.cancelled() and not isinstance(task.exception(), ServingError | None):
        task.get_loop().call_exception_handler({"message": "a background fetch broke", "exception": task.exception()})
