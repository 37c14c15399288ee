"""Claims one chunk after the other, works on it while the lease is good, and tells the store what came of it."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

from services.shared.clock import Clock
from services.shared.errors import Unavailable
from services.shared.jobs.base import JobStore
from services.shared.jobs.job import ItemResult, Lease, Outcome, Settled
from services.shared.jobs.queue import POLL_S
from services.shared.tracing.span import Tracer
from services.worker.bell import Bell
from services.worker.chunk_span import chunk_span, trace_id_of
from services.worker.failure import DRAINED, GivenBack, given_back
from services.worker.lease_hold import LeaseHold
from services.worker.work_counters import WorkCounters

_log = logging.getLogger(__name__)

_AWAY_FIRST_S, _AWAY_LONGEST_S = 0.1, 2.0
_LAST_WORD_S = 2.0

T = TypeVar("T")


class Work(Protocol):
    async def results(self, lease: Lease) -> list[ItemResult]: ...


class ChunkRunner:
    """Two of them in a process: while one waits for the model, the other one loads, decodes and writes."""

    def __init__(
        self,
        store: JobStore,
        work: Work,
        bell: Bell,
        counters: WorkCounters,
        clock: Clock,
        source: random.Random,
        *,
        worker_id: str,
        tracer: Tracer | None = None,
    ) -> None:
        self._store, self._work, self._bell = store, work, bell
        self._counters, self._clock, self._worker_id = counters, clock, worker_id
        self._source, self._tracer = source, tracer
        self._stopping, self._giving_up = asyncio.Event(), asyncio.Event()

    def stop(self) -> None:
        """Claims nothing more: `run` returns when the chunk in work is done."""
        self._stopping.set()
        self._bell.ring()

    def give_up(self) -> None:
        """Gives the chunk in work back, to be claimed by another worker at once."""
        self.stop()
        self._giving_up.set()

    async def run(self) -> None:
        away_s = _AWAY_FIRST_S
        while not self._stopping.is_set():
            asked_s = self._clock.monotonic()
            try:
                lease = await self._store.claim(self._worker_id)
            except Unavailable as error:
                await self._bell.heard(away_s)
                if away_s < _AWAY_LONGEST_S <= 2 * away_s:  # once, and not for what is over in a moment
                    _log.warning("no work can be asked for", extra={"reason": error.detail})
                away_s = min(2 * away_s, _AWAY_LONGEST_S)
                continue
            if away_s == _AWAY_LONGEST_S:
                _log.info("work can be asked for again")
            away_s = _AWAY_FIRST_S
            if lease is None:
                await self._bell.heard(POLL_S)
            else:
                await self.work_on(lease, asked_s)

    async def work_on(self, lease: Lease, asked_s: float) -> None:
        """Until the lease is settled, lost, or given up. Nothing of it goes on after this returns."""
        self._counters.running += 1
        hold = LeaseHold(self._store, lease, self._clock, asked_s)
        working = asyncio.create_task(self._traced(lease, asked_s))
        losing = asyncio.create_task(hold.until_lost())
        giving_up = asyncio.create_task(self._giving_up.wait())
        try:
            await asyncio.wait((working, losing, giving_up), return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                self._tell(lease, working.result())
                return
            await _ended(working)
            if losing.done():
                self._counters.chunks[Outcome.LOST] += 1
                _log.warning("a chunk is left to others", extra={**_about(lease), "reason": losing.result()})
            else:
                await self._hand_over(lease)
        except Exception:  # a defect in what is between the work and the store: the lease lapses, others go on
            _log.exception("a chunk was dropped", extra=_about(lease))
        finally:
            await _ended(working, losing, giving_up)
            self._counters.running -= 1

    async def _traced(self, lease: Lease, asked_s: float) -> Settled:
        with chunk_span(self._tracer, lease) as span:
            settled = await self._settle(lease, asked_s)
            if span is not None:
                span.attributes["grayscale.outcome"] = settled.outcome.value
            return settled

    async def _settle(self, lease: Lease, asked_s: float) -> Settled:
        begun_s = self._clock.monotonic()
        try:
            results = await self._work.results(lease)
        except Exception as error:
            back = given_back(error, lease.attempt, self._source)
            about = {**_about(lease), "reason": back.reason, "retry_in_s": back.retry_in_s}
            _log.warning("a chunk has no results", extra=about)
            return await self._until_told(lambda: self._give_back(lease, back))
        worked_s = self._clock.monotonic() - begun_s
        settled = await self._until_told(lambda: self._store.complete(lease, results))
        if settled.outcome is Outcome.COMPLETED:
            seconds = self._clock.monotonic() - asked_s
            self._counters.completed(results, seconds)
            times = {"work_ms": round(1000 * worked_s, 3), "ms": round(1000 * seconds, 3)}
            _log.info("a chunk is done", extra={**_about(lease), **said_of(results), **times})
        return settled

    async def _give_back(self, lease: Lease, back: GivenBack) -> Settled:
        return await self._store.release(lease, retry_in_s=back.retry_in_s, reason=back.reason, strike=back.strike)

    async def _until_told(self, tell: Callable[[], Awaitable[T]]) -> T:
        """Says it again while the store is away; the loss of the lease ends that."""
        wait_s = _AWAY_FIRST_S
        while True:
            try:
                return await tell()
            except Unavailable:
                await asyncio.sleep(wait_s)
                wait_s = min(2 * wait_s, _AWAY_LONGEST_S)

    async def _hand_over(self, lease: Lease) -> None:
        back = GivenBack(0.0, DRAINED, strike=False)
        try:
            async with asyncio.timeout(_LAST_WORD_S):
                self._tell(lease, await self._give_back(lease, back))
        except (Unavailable, TimeoutError):  # its lease lapses then, and another worker claims it
            _log.warning("a chunk could not be given back", extra=_about(lease))

    def _tell(self, lease: Lease, settled: Settled) -> None:
        self._counters.chunks[settled.outcome] += 1
        if settled.outcome not in (Outcome.COMPLETED, Outcome.RETRY):
            _log.warning("a chunk ended otherwise", extra={**_about(lease), "outcome": settled.outcome})
        if settled.ended is not None:
            _log.info("a job has ended", extra={"job_id": lease.job_id, "state": settled.ended})


def _about(lease: Lease) -> dict[str, object]:
    about: dict[str, object] = {"job_id": lease.job_id, "first": lease.chunk.first, "items": lease.chunk.size}
    about |= {"asked": lease.request.model, "attempt": lease.attempt}
    trace_id = trace_id_of(lease)
    return {**about, "trace_id": trace_id} if trace_id else about


def said_of(results: Sequence[ItemResult]) -> dict[str, object]:
    """What a line says of a chunk's results: how many failed, and how many each version answered as which arm."""
    served = [(result.result or {}).get("served_by") for result in results]
    by = Counter(f"{by['model']}/{by['version']} {by['arm']}" for by in served if isinstance(by, dict))
    return {"failed": sum(result.error is not None for result in results), "served_by": dict(by)}


async def _ended(*tasks: asyncio.Task[object]) -> None:
    """Cancels tasks and waits until nothing of them goes on; what they raise then is nobody's."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
