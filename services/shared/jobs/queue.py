"""What wakes workers. Losing or doubling a wake-up is harmless: every worker asks the job store by itself, too."""

from __future__ import annotations

from typing import Protocol

from services.shared.priority import Priority

POLL_S = 1.0  # how often an idle worker asks the store without being woken
MAX_WAKES = 32  # a worker that was woken goes on until nothing waits: waking more of them at once gains nothing


class JobQueue(Protocol):
    """Carries no ids and no bytes: the truth is in the JobStore."""

    async def wake(self, priority: Priority, chunks: int) -> None:
        """Tells workers that so many chunks can be claimed. Returns at once and never raises: without a queue the
        chunks are found within POLL_S."""
        ...

    async def close(self) -> None: ...


def wakes_for(chunks: int) -> int:
    """How many workers to wake for so many chunks."""
    return max(0, min(chunks, MAX_WAKES))
