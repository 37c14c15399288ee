"""Jobs in this process: the twin of the stored ones, for tests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from services.shared.clock import Clock, SystemClock
from services.shared.errors import Conflict
from services.shared.jobs.base import (
    CANCELLED,
    IDEMPOTENCY_S,
    LAPSED,
    LEASE_S,
    MAX_WAITING_ITEMS,
    RESULTS_S,
    another_request,
    check_page,
    check_results,
    no_such_dead_letter,
    no_such_job,
    queue_full,
)
from services.shared.jobs.job import (
    TOTALS,
    Created,
    DeadLetter,
    Idempotency,
    ItemResult,
    Job,
    JobState,
    Lease,
    NewJob,
    Outcome,
    QueueDepth,
    Reaped,
    ResultPage,
    Settled,
    StoreStats,
    Swept,
)
from services.shared.jobs.memory_job import KeptJob, Part, Rules
from services.shared.jobs.memory_outbox import MemoryOutbox
from services.shared.jobs.plan import blob_ids_of, cannot_reopen, chunks_of, page_of
from services.shared.jobs.retry import Caps
from services.shared.jobs.webhook import Webhook
from services.shared.priority import Priority

Chunks = list[tuple[KeptJob, Part]]


class MemoryJobStore:
    """A JobStore that ends with its process: nothing is ever on disk."""

    def __init__(
        self,
        clock: Clock | None = None,
        *,
        caps: Caps | None = None,
        results_s: float = RESULTS_S,
        max_waiting_items: int = MAX_WAITING_ITEMS,
    ) -> None:
        self._clock = clock or SystemClock()
        self._totals: Counter[str] = Counter()
        self._rules = Rules(self._clock, caps or Caps(), results_s, self._totals)
        self._max_waiting_items = max_waiting_items
        self._kept: dict[str, KeptJob] = {}
        self._keys: dict[tuple[str, str], tuple[float, Idempotency, str]] = {}
        self._garbage: dict[str, Swept] = {}
        self._turns: dict[str, float] = {}
        self._outbox = MemoryOutbox(self._kept, self._rules)
        self._token = 0

    async def create(self, new: NewJob) -> Created:
        chunks = chunks_of(len(new.items), new.chunk_size)
        now = self._clock.now()
        if new.job_id in self._kept:
            return Created(self._kept[new.job_id].job, is_new=True)
        if new.idempotency is not None:
            ends_at, before, job_id = self._keys.get((new.owner, new.idempotency.key), (0.0, new.idempotency, ""))
            kept = self._find(job_id, None)
            if ends_at > now and kept is not None:
                if before.fingerprint != new.idempotency.fingerprint:
                    raise another_request(new.idempotency.key)
                return Created(kept.job, is_new=False)
        waiting = sum(self._waiting(priority) for priority in Priority)
        if waiting + len(new.items) > self._max_waiting_items:
            raise queue_full(waiting, self._max_waiting_items)
        job = Job(new.job_id, new.owner, new.request, JobState.QUEUED, len(new.items), 0, 0, created_at=now)
        self._totals["created"] += 1
        parts = {chunk: Part(chunk) for chunk in chunks}
        self._kept[job.job_id] = KeptJob(job, self._totals["created"], new.items, parts, self._rules)
        if new.idempotency is not None:
            self._keys[new.owner, new.idempotency.key] = (now + IDEMPOTENCY_S, new.idempotency, job.job_id)
        return Created(job, is_new=True)

    async def get(self, job_id: str, *, owner: str | None) -> Job:
        return self._see(job_id, owner).job

    async def list(self, *, owner: str | None, limit: int = 50, before: str | None = None) -> tuple[Job, ...]:
        check_page(limit)
        line = [kept for kept in self._kept.values() if owner in (None, kept.job.owner)]
        if before is not None:
            end = next((kept.place for kept in line if kept.job.job_id == before), None)
            if end is None:
                raise no_such_job(before)
            line = [kept for kept in line if kept.place < end]
        page = sorted(line, key=lambda kept: -kept.place)[:limit]
        return tuple(kept.job for kept in page if not kept.expired())

    async def results(self, job_id: str, *, owner: str | None, start: int = 0, limit: int = 100) -> ResultPage:
        check_page(limit, start)
        kept = self._see(job_id, owner)
        found = [kept.results.get(index) for index in range(start, min(start + limit, kept.job.total))]
        named = [result and replace(result, name=kept.items[result.index].name) for result in found]
        return page_of(kept.job.state, start, kept.job.total, named)

    async def cancel(self, job_id: str, *, owner: str | None) -> Job:
        kept = self._see(job_id, owner)
        if not kept.job.state.ended:
            kept.finish(JobState.CANCELLED, CANCELLED)
        return kept.job

    async def purge(self, job_id: str, *, owner: str | None) -> None:
        await self.cancel(job_id, owner=owner)
        self._kept[job_id].job = replace(self._kept[job_id].job, expires_at=self._clock.now())
        self._kept[job_id].webhook = None

    async def claim(self, worker_id: str) -> Lease | None:
        self._promote()
        while line := self._in_state("ready"):
            kept, part = min(line, key=lambda entry: (entry[0].job.request.priority, entry[0].place, entry[1].chunk))
            if not kept.expire_if_late():
                self._token += 1
                return kept.lend(part, self._token, worker_id)
        return None

    async def renew(self, lease: Lease) -> Lease | None:
        part = self._held(lease)
        if part is None:
            return None
        part.at = self._clock.now() + LEASE_S
        return replace(lease, lapses_at=part.at)

    async def complete(self, lease: Lease, results: Sequence[ItemResult]) -> Settled:
        check_results(lease, results)
        kept = self._kept.get(lease.job_id)
        part = kept.parts.get(lease.chunk) if kept else None
        if kept is None or part is None or not part.belongs_to(lease):
            return Settled(Outcome.LOST)
        if part.state == "completed":
            return Settled(Outcome.COMPLETED, kept.job.state if kept.job.state.ended else None)
        if part not in kept.in_state("leased"):
            return Settled(Outcome.LOST)
        part.state = "completed"
        return Settled(Outcome.COMPLETED, kept.write(results))

    async def release(self, lease: Lease, *, retry_in_s: float, reason: str, strike: bool) -> Settled:
        part = self._held(lease)
        if part is None:
            return Settled(Outcome.LOST)
        return self._kept[lease.job_id].give_back(part, strike=strike, wait_s=retry_in_s, reason=reason)

    async def reap(self) -> Reaped:
        ended = [kept.job.job_id for kept in self._kept.values() if kept.expire_if_late()]
        lapsed = [(kept, part) for kept, part in self._in_state("leased") if part.at <= self._clock.now()]
        for kept, part in lapsed:
            if kept.give_back(part, strike=True, wait_s=0.0, reason=LAPSED).ended:
                ended.append(kept.job.job_id)
        self._totals["lapsed"] += len(lapsed)
        return Reaped(len(lapsed), self._promote(), tuple(sorted(ended)))

    async def dead(self, *, limit: int = 100, start: int = 0) -> tuple[DeadLetter, ...]:
        check_page(limit, start)
        letters = [letter for kept in self._kept.values() for letter in kept.dead.values()]
        return tuple(sorted(letters, key=lambda letter: (letter.at, letter.dead_id), reverse=True)[start:][:limit])

    async def requeue(self, dead_id: str) -> Job:
        kept = self._find(dead_id.rpartition(":")[0], None)
        letter = next((letter for letter in kept.dead.values() if letter.dead_id == dead_id), None) if kept else None
        if kept is None or letter is None:
            raise no_such_dead_letter(dead_id)
        reason = cannot_reopen(kept.job, self._clock.now())
        if reason:
            raise Conflict(reason)
        kept.reopen(letter.index)
        return kept.job

    async def sweep(self, *, limit: int = 100) -> tuple[Swept, ...]:
        check_page(limit)
        for job_id in [job_id for job_id, kept in self._kept.items() if kept.expired()][:limit]:
            kept = self._kept.pop(job_id)
            self._outbox.drop(kept)
            self._garbage[job_id] = Swept(job_id, blob_ids_of(kept.items))
        return tuple(self._garbage.values())[:limit]

    async def forget(self, job_id: str) -> None:
        self._garbage.pop(job_id, None)

    async def unknown(self, job_ids: Sequence[str]) -> tuple[str, ...]:
        return tuple(job_id for job_id in job_ids if job_id not in self._kept and job_id not in self._garbage)

    async def turn(self, duty: str, every_s: float) -> bool:
        now = self._clock.now()
        free = duty not in self._turns or self._turns[duty] + every_s <= now
        if free:
            self._turns[duty] = now
        return free

    async def claim_webhook(self) -> Webhook | None:
        webhook = self._outbox.claim(self._token + 1)
        self._token += webhook is not None
        return webhook

    async def webhook_delivered(self, webhook: Webhook) -> bool:
        return self._outbox.delivered(webhook)

    async def webhook_failed(self, webhook: Webhook, *, retry_in_s: float | None) -> bool:
        return self._outbox.failed(webhook, retry_in_s)

    async def stats(self) -> StoreStats:
        ready = [kept.job for kept, _ in self._in_state("ready")]
        depths = []
        for priority in Priority:
            created = [job.created_at for job in ready if job.request.priority is priority]
            oldest_s = self._clock.now() - min(created) if created else 0.0
            depths.append(QueueDepth(priority, len(created), self._waiting(priority), oldest_s))
        return StoreStats(
            tuple(depths),
            active_jobs=sum(not kept.job.state.ended for kept in self._kept.values()),
            running=len(self._in_state("leased")),
            delayed=len(self._in_state("delayed")),
            dead=sum(len(kept.dead) for kept in self._kept.values()),
            totals={name: self._totals[name] for name in TOTALS},
            at=self._clock.now(),
        )

    async def close(self) -> None:
        pass

    def _find(self, job_id: str, owner: str | None) -> KeptJob | None:
        kept = self._kept.get(job_id)
        if kept is None or owner not in (None, kept.job.owner) or kept.expired():
            return None
        return kept

    def _see(self, job_id: str, owner: str | None) -> KeptJob:
        kept = self._find(job_id, owner)
        if kept is None:
            raise no_such_job(job_id)
        return kept

    def _in_state(self, state: str) -> Chunks:
        return [(kept, part) for kept in self._kept.values() for part in kept.in_state(state)]

    def _held(self, lease: Lease) -> Part | None:
        kept = self._kept.get(lease.job_id)
        return kept.held(lease) if kept else None

    def _waiting(self, priority: Priority) -> int:
        jobs = [kept.job for kept in self._kept.values()]
        active = [job for job in jobs if not job.state.ended and job.request.priority is priority]
        return sum(job.total - job.done - job.failed for job in active)

    def _promote(self) -> int:
        due = [part for _, part in self._in_state("delayed") if part.at <= self._clock.now()]
        for part in due:
            part.state = "ready"
        return len(due)
