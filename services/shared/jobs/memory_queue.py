"""Wake-ups within this process: the twin of the real queue, for tests."""

from __future__ import annotations

from collections.abc import Callable

from services.shared.jobs.queue import wakes_for
from services.shared.priority import Priority


class MemoryJobQueue:
    """A JobQueue. `on_wake` is called once for each wake-up; `woken` lists their priorities."""

    def __init__(self, on_wake: Callable[[], object] = lambda: None) -> None:
        self._on_wake = on_wake
        self.woken: list[Priority] = []

    async def wake(self, priority: Priority, chunks: int) -> None:
        for _ in range(wakes_for(chunks)):
            self.woken.append(priority)
            self._on_wake()

    async def close(self) -> None:
        pass
