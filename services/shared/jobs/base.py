"""Where jobs are kept: the truth about what was accepted, who works on it, and what came of it.

A job is a list of items, cut into chunks. A worker claims a chunk, renews its lease while it works, and writes one
result for each item. A worker that stops renewing loses its lease: the chunk is claimed again, with a higher fencing
token, and whatever the first worker still sends is refused. So an item's result is written exactly once, whoever dies.
A queue elsewhere only wakes workers; losing or doubling a wake-up is harmless.

A store may lose what it acknowledged in its last second, when its server loses its power or fails over. No accepted job
goes with that: the keeper makes it again from its manifest (`manifest.py`). What remains is that results written in
that second may be computed, and a webhook sent in it delivered, once more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from services.shared.errors import Conflict, InvalidInput, NotFound, Overloaded
from services.shared.jobs import bounds
from services.shared.jobs.job import (
    Created,
    DeadLetter,
    ItemResult,
    Job,
    Lease,
    NewJob,
    Reaped,
    ResultPage,
    Settled,
    StoreStats,
    Swept,
)
from services.shared.jobs.webhook import Webhook

RENEW_S = 2.0  # how often a worker renews
LEASE_S = 6.0  # without a renewal for so long, a worker is taken for dead
IDEMPOTENCY_S = bounds.IDEMPOTENCY_S
RESULTS_S = bounds.RESULTS_S
MAX_WAITING_ITEMS = bounds.MAX_WAITING_ITEMS
WEBHOOK_LEASE_S = 30.0  # a sender that says nothing for so long is taken for dead; well above a delivery's bound
ABANDONED = "abandoned"  # the cause that a buried item's result names
LAPSED = "its worker stopped without a word"
CANCELLED = "its owner cancelled it"
TOO_LATE = "its deadline has passed"


class JobStore(Protocol):
    """Every method is atomic, and raises Unavailable when the store cannot be used.

    `owner` is who asks: a job of somebody else is NotFound, as is one that has expired; None sees every job.
    """

    async def create(self, new: NewJob) -> Created:
        """Accepts a job. Of any number of calls with one owner and idempotency key within IDEMPOTENCY_S one makes the
        job and all others get that; a repeated call with one job id is the same call.

        Raises Conflict when the key came with another fingerprint before, Overloaded (with `retry_after_s`, nothing
        kept) when too many items wait, InvalidInput for no or too many items.
        """
        ...

    async def get(self, job_id: str, *, owner: str | None) -> Job:
        """Raises NotFound."""
        ...

    async def list(self, *, owner: str | None, limit: int = 50, before: str | None = None) -> tuple[Job, ...]:
        """The newest jobs first; `before` is the id of the last one of the page before (NotFound when it has gone)."""
        ...

    async def results(self, job_id: str, *, owner: str | None, start: int = 0, limit: int = 100) -> ResultPage:
        """Results from index `start` on, at most `limit` items' worth. While the job is active a page ends before the
        first item without one; afterwards such items are left out. Raises NotFound."""
        ...

    async def cancel(self, job_id: str, *, owner: str | None) -> Job:
        """Ends an active job at once: its leases are lost and no result is added. An ended job is given as it is.
        Raises NotFound."""
        ...

    async def purge(self, job_id: str, *, owner: str | None) -> None:
        """Cancels where need be, and lets the job expire at once; its webhook is not sent any more. Raises NotFound."""
        ...

    async def claim(self, worker_id: str) -> Lease | None:
        """A chunk to work on, None when there is none: of the highest priority, then of the oldest job, then in input
        order. A chunk has one holder at a time. Jobs whose deadline has passed are ended and not handed out."""
        ...

    async def renew(self, lease: Lease) -> Lease | None:
        """The lease for another LEASE_S; None when it is lost: stop the work."""
        ...

    async def complete(self, lease: Lease, results: Sequence[ItemResult]) -> Settled:
        """Writes a chunk's results, one for each item (ValueError otherwise), and counts them. The same lease may
        say so again. LOST when it was taken back, or the job has ended."""
        ...

    async def release(self, lease: Lease, *, retry_in_s: float, reason: str, strike: bool) -> Settled:
        """Gives a chunk back without results: `retry.fate_of` says what becomes of it, RETRY not before `retry_in_s`.

        `strike`: one of its items may be the cause. The items of a buried chunk become dead letters, and get an error
        ABANDONED with the reason as their result, so that the job comes to its end.
        """
        ...

    async def reap(self) -> Reaped:
        """Takes lapsed leases back (a strike each, reason LAPSED), moves what has waited out its backoff, and ends jobs
        whose deadline has passed; at most 1,000 of each. To be called about every second, by any number of callers."""
        ...

    async def dead(self, *, limit: int = 100, start: int = 0) -> tuple[DeadLetter, ...]:
        """Dead letters, the newest first. They go with their job."""
        ...

    async def requeue(self, dead_id: str) -> Job:
        """Takes back the item's error and lets it be tried again, in a job that is active again until it has a result.

        Raises NotFound, or Conflict when the job was cancelled or its deadline has passed.
        """
        ...

    async def sweep(self, *, limit: int = 100) -> tuple[Swept, ...]:
        """Forgets expired jobs and hands their blobs out for deletion, again and again until `forget` is called: a
        caller that dies in between leaves nothing behind."""
        ...

    async def forget(self, job_id: str) -> None:
        """The blobs of a swept job are deleted."""
        ...

    async def unknown(self, job_ids: Sequence[str]) -> tuple[str, ...]:
        """Those of the ids that this store has no trace of: no job, expired or not, and no blobs to be forgotten."""
        ...

    async def turn(self, duty: str, every_s: float) -> bool:
        """True for one caller in each `every_s`: for what any process could do and one should. It is no lock: who is
        slower than that is joined by the next."""
        ...

    async def claim_webhook(self) -> Webhook | None:
        """The end of a job with a `callback_url`, to be delivered within WEBHOOK_LEASE_S; the one that is due longest,
        None when none is. It is there from the moment when the job ended, however that came; a dead letter that is
        tried again takes back what was not delivered."""
        ...

    async def webhook_delivered(self, webhook: Webhook) -> bool:
        """It is not handed out again. False when its lease was lost, and nothing has changed."""
        ...

    async def webhook_failed(self, webhook: Webhook, *, retry_in_s: float | None) -> bool:
        """It is handed out again after so long; None gives it up. False when its lease was lost."""
        ...

    async def stats(self) -> StoreStats: ...

    async def close(self) -> None: ...


def no_such_job(job_id: str) -> NotFound:
    return NotFound(f"there is no job {job_id[:64]!r}", field="job_id")


def no_such_dead_letter(dead_id: str) -> NotFound:
    return NotFound(f"there is no dead letter {dead_id[:80]!r}")


def another_request(key: str) -> Conflict:
    return Conflict(
        f"Idempotency-Key {key[:64]!r} came with another request before: use a new key", field="Idempotency-Key"
    )


def queue_full(waiting: int, limit: int) -> Overloaded:
    return Overloaded(
        f"{waiting:,} images wait already, of at most {limit:,}: send the job again later", retry_after_s=30
    )


def check_results(lease: Lease, results: Sequence[ItemResult]) -> None:
    """Raises ValueError unless there is one result for each item of the lease."""
    if sorted(result.index for result in results) != list(lease.chunk.indices):
        raise ValueError(f"results for {sorted(r.index for r in results)}, leased was {lease.chunk}")


def check_page(limit: int, start: int = 0) -> None:
    """Raises InvalidInput for a page that cannot be asked for."""
    if not 1 <= limit <= 1000:
        raise InvalidInput(f"a page of {limit}: use 1 to 1000", field="limit")
    if not 0 <= start < 2**53:
        raise InvalidInput(f"a page from {start}: use a number from 0", field="from")
