"""A worker's parts for tests: work that is scripted, a store that goes away, and models whose pictures are one byte."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Sequence

from services.shared.clock import Clock, ManualClock, SystemClock
from services.shared.errors import Unavailable
from services.shared.jobs.base import JobStore
from services.shared.jobs.job import ItemResult, Lease, Settled
from services.shared.jobs.memory import MemoryJobStore
from services.shared.tracing.span import Tracer
from services.worker.bell import Bell
from services.worker.chunk_runner import ChunkRunner, Work
from services.worker.work_counters import WorkCounters
from tests.support.jobs import answers


class ScriptedWork:
    """Answers each item with its blob's id, after what the script says: `failures` are raised first, items whose blob
    id is in `poison` fail for ever, `gate` (when set) is waited for."""

    def __init__(self) -> None:
        self.failures: deque[Exception] = deque()
        self.poison: dict[str, Exception] = {}
        self.gate: asyncio.Event | None = None
        self.begun: list[Lease] = []
        self.cancelled = 0

    async def results(self, lease: Lease) -> list[ItemResult]:
        self.begun.append(lease)
        try:
            if self.gate is not None:
                await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.failures:
            raise self.failures.popleft()
        for item in lease.items:
            if item.blob_id in self.poison:
                raise self.poison[item.blob_id]
        return answers(lease)


class UnreliableStore(MemoryJobStore):
    """`away` makes every call of a worker raise Unavailable; `calls` lists those, whether they were answered or not."""

    def __init__(self, clock: Clock | None = None) -> None:
        super().__init__(clock)
        self.away = False
        self.calls: list[str] = []

    async def claim(self, worker_id: str) -> Lease | None:
        self._heard("claim")
        return await super().claim(worker_id)

    async def renew(self, lease: Lease) -> Lease | None:
        self._heard("renew")
        return await super().renew(lease)

    async def complete(self, lease: Lease, results: Sequence[ItemResult]) -> Settled:
        self._heard("complete")
        return await super().complete(lease, results)

    async def release(self, lease: Lease, *, retry_in_s: float, reason: str, strike: bool) -> Settled:
        self._heard("release")
        return await super().release(lease, retry_in_s=retry_in_s, reason=reason, strike=strike)

    def _heard(self, call: str) -> None:
        self.calls.append(call)
        if self.away:
            raise Unavailable("the job store is away")


class RunnerBench:
    """A runner over a store whose clock is moved by hand; the runner's own clock is the machine's."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.store = UnreliableStore(self.clock)
        self.work = ScriptedWork()
        self.bell = Bell()
        self.counters = WorkCounters()
        self.runner = self.another()

    def another(
        self, work: Work | None = None, store: JobStore | None = None, tracer: Tracer | None = None
    ) -> ChunkRunner:
        return ChunkRunner(
            store or self.store,
            work or self.work,
            self.bell,
            self.counters,
            SystemClock(),
            random.Random(1),
            worker_id="w",
            tracer=tracer,
        )

    async def step(self) -> bool:
        """Works on one chunk from its claim to its end; False when there was none."""
        asked_s = SystemClock().monotonic()
        lease = await self.store.claim("w")
        if lease is None:
            return False
        await self.runner.work_on(lease, asked_s)
        return True

    async def work_off(self, *, at_most: int = 1000) -> int:
        """Steps, waiting out every backoff; how many there were."""
        steps = 0
        while steps < at_most:
            if await self.step():
                steps += 1
                continue
            stats = await self.store.stats()
            if not stats.delayed:
                return steps
            self.clock.advance(1.0)
            await self.store.reap()
        raise AssertionError(f"no end after {at_most} steps")
