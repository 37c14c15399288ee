"""One job in this process, with its chunks and results: what follows from a claim, a result, a failure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from services.shared.clock import Clock
from services.shared.jobs.base import ABANDONED, LEASE_S, TOO_LATE
from services.shared.jobs.job import (
    Chunk,
    DeadLetter,
    Item,
    ItemError,
    ItemResult,
    Job,
    JobState,
    Lease,
    Outcome,
    Settled,
    dead_id_of,
)
from services.shared.jobs.plan import final_state, singles_of
from services.shared.jobs.retry import Caps, Fate, fate_of


@dataclass(frozen=True, slots=True)
class Rules:
    """What all jobs of a store share: its clock, its caps, how long results are kept, and what it counts."""

    clock: Clock
    caps: Caps
    results_s: float
    totals: Counter[str]


@dataclass(slots=True)
class Part:
    """A chunk as it stands; `at` is when its lease lapses, or its backoff ends."""

    chunk: Chunk
    state: str = "ready"
    attempt: int = 0
    strikes: int = 0
    token: int = 0
    worker_id: str = ""
    at: float = 0.0

    def belongs_to(self, lease: Lease) -> bool:
        return (self.token, self.worker_id) == (lease.token, lease.worker_id)


@dataclass(slots=True)
class Outgoing:
    """A webhook as it stands; `at` is when it is due, or its lease lapses."""

    at: float
    attempt: int = 0
    token: int = 0


@dataclass(slots=True)
class KeptJob:
    """A job with everything that belongs to it; `place` is its place in line, `ends` how often it has ended."""

    job: Job
    place: int
    items: tuple[Item, ...]
    parts: dict[Chunk, Part]
    rules: Rules
    results: dict[int, ItemResult] = field(default_factory=dict)
    dead: dict[int, DeadLetter] = field(default_factory=dict)
    webhook: Outgoing | None = None
    ends: int = 0

    def expired(self) -> bool:
        return self.job.expires_at is not None and self.job.expires_at <= self.rules.clock.now()

    def too_late(self) -> bool:
        deadline_at = self.job.request.deadline_at
        return not self.job.state.ended and deadline_at is not None and deadline_at <= self.rules.clock.now()

    def in_state(self, state: str) -> list[Part]:
        """None of a job that has ended."""
        return [] if self.job.state.ended else [part for part in self.parts.values() if part.state == state]

    def held(self, lease: Lease) -> Part | None:
        """The leased chunk, when this lease is the newest."""
        return next((p for p in self.in_state("leased") if p.chunk == lease.chunk and p.belongs_to(lease)), None)

    def lend(self, part: Part, token: int, worker_id: str) -> Lease:
        now = self.rules.clock.now()
        part.state, part.attempt, part.token, part.worker_id = "leased", part.attempt + 1, token, worker_id
        part.at = now + LEASE_S
        if self.job.state is JobState.QUEUED:
            self.job = replace(self.job, state=JobState.RUNNING, started_at=now)
        chunk, job = part.chunk, self.job
        items = self.items[chunk.first : chunk.first + chunk.size]
        return Lease(job.job_id, job.owner, job.request, chunk, items, part.attempt, token, worker_id, part.at)

    def finish(self, state: JobState, reason: str = "") -> None:
        now = self.rules.clock.now()
        expires_at = now + self.rules.results_s
        self.job = replace(self.job, state=state, reason=reason, finished_at=now, expires_at=expires_at)
        self.rules.totals[state.value] += 1
        self.ends += 1
        self.webhook = Outgoing(now) if self.job.request.callback_url else None

    def expire_if_late(self) -> bool:
        late = self.too_late()
        if late:
            self.finish(JobState.EXPIRED, TOO_LATE)
        return late

    def write(self, results: Sequence[ItemResult]) -> JobState | None:
        """How the job ended by these results."""
        self.results.update((result.index, result) for result in results)
        failed = sum(result.error is not None for result in results)
        done = len(results) - failed
        self.rules.totals.update(done=done, failed=failed)
        self.job = replace(self.job, done=self.job.done + done, failed=self.job.failed + failed)
        state = final_state(self.job.total, self.job.done, self.job.failed)
        if state is not None:
            self.finish(state)
        return state

    def give_back(self, part: Part, *, strike: bool, wait_s: float, reason: str) -> Settled:
        part.strikes += strike
        fate = fate_of(part.chunk.size, part.attempt, part.strikes, self.rules.caps)
        if fate is Fate.SPLIT:
            part.state = "split"
            self.parts.update((chunk, Part(chunk)) for chunk in singles_of(part.chunk))
            self.rules.totals["split"] += 1
            return Settled(Outcome.SPLIT)
        if fate is Fate.RETRY:
            part.state, part.at = ("delayed", self.rules.clock.now() + wait_s) if wait_s > 0 else ("ready", 0.0)
            self.rules.totals["retried"] += 1
            return Settled(Outcome.RETRY)
        part.state = "buried"
        return Settled(Outcome.BURIED, self._bury(part, reason))

    def reopen(self, index: int) -> None:
        """Lets a dead letter be tried again."""
        if self.job.state.ended:
            self.webhook = None
        del self.dead[index], self.results[index]
        self.parts[Chunk(index, 1)] = Part(Chunk(index, 1))
        failed = self.job.failed - 1
        self.job = replace(
            self.job, state=JobState.RUNNING, failed=failed, finished_at=None, expires_at=None, reason=""
        )

    def _bury(self, part: Part, reason: str) -> JobState | None:
        job_id, now = self.job.job_id, self.rules.clock.now()
        for index in part.chunk.indices:
            dead_id, name = dead_id_of(job_id, index), self.items[index].name
            self.dead[index] = DeadLetter(dead_id, job_id, index, name, reason, part.attempt, now)
        self.rules.totals["buried"] += part.chunk.size
        error = ItemError(ABANDONED, reason)
        return self.write([ItemResult(index, error=error) for index in part.chunk.indices])
