"""What a job, a chunk of it, a lease and a result are. Times are Unix seconds by the store's clock."""

from __future__ import annotations

import enum
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

from services.shared.priority import Priority


class JobState(enum.StrEnum):
    """`EXPIRED`: its deadline passed first. The last four are ends, which only a requeued dead letter undoes."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"

    @property
    def ended(self) -> bool:
        return self not in (JobState.QUEUED, JobState.RUNNING)


@dataclass(slots=True)  # not frozen, as in `imaging/base.py`: there are many
class Item:
    """One image: where its bytes are staged, what the caller called it, how it is routed ("": by job id and index).

    Bytes that the worker fetches itself have a `url`, and "" as `blob_id`.
    """

    blob_id: str
    name: str = ""
    routing_key: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True)
class JobRequest:
    """What is to be done with every item. `version` None: the release decides. After `deadline_at` nothing is begun.
    `trace` is the place in a trace where it was asked for (`tracing/traceparent.py`), "" for none."""

    model: str
    version: int | None = None
    arm: str = ""
    top_k: int = 5
    priority: Priority = Priority.NORMAL
    deadline_at: float | None = None
    callback_url: str = ""
    trace: str = ""


@dataclass(frozen=True, slots=True)
class Idempotency:
    """The caller's `Idempotency-Key`, and a digest of everything that the request asked for."""

    key: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job to be accepted: its bytes are staged already. `owner` is a key's id, "" where nobody needs a key."""

    job_id: str
    owner: str
    request: JobRequest
    items: tuple[Item, ...]
    chunk_size: int
    idempotency: Idempotency | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """A job as it stands: `done` items have an answer, `failed` ones a reason; both are `total` when all went well.

    `expires_at`: when it is forgotten with its results; None until it has ended. `reason` says why it ended early.
    """

    job_id: str
    owner: str
    request: JobRequest
    state: JobState
    total: int
    done: int
    failed: int
    created_at: float
    started_at: float | None = None
    finished_at: float | None = None
    expires_at: float | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Created:
    """`is_new` False: the idempotency key had made `job` before, and what was staged for this one is not needed."""

    job: Job
    is_new: bool


@dataclass(frozen=True, slots=True, order=True)
class Chunk:
    """The items `first` to `first + size - 1` of a job."""

    first: int
    size: int

    @property
    def indices(self) -> range:
        return range(self.first, self.first + self.size)


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to work on a chunk until `lapses_at`; of a chunk's leases only that with the newest `token` counts.

    `attempt` is 1 for the first lease of the chunk. A holder measures its own time: the lease is good for LEASE_S from
    the moment when it was asked for or last renewed, whatever the clocks of two machines say.
    """

    job_id: str
    owner: str
    request: JobRequest
    chunk: Chunk
    items: tuple[Item, ...]
    attempt: int
    token: int
    worker_id: str
    lapses_at: float


@dataclass(frozen=True, slots=True)
class ItemError:
    """Why an item has no answer: a cause (a class of `errors.py` in snake case, or `abandoned`) and a sentence."""

    cause: str
    detail: str


@dataclass(slots=True)  # not frozen, as in `imaging/base.py`: there are many
class ItemResult:
    """What came of one item: a `result` (any JSON object) or an `error`. The store fills in `name` when it is read."""

    index: int
    result: Mapping[str, object] | None = None
    error: ItemError | None = None
    name: str = ""

    def __post_init__(self) -> None:
        if (self.result is None) == (self.error is None):
            raise ValueError("an item has either a result or an error")


@dataclass(frozen=True, slots=True)
class ResultPage:
    """Results in input order. `next_index` is where to go on; `is_last`: nothing will ever come from there on."""

    results: tuple[ItemResult, ...]
    next_index: int
    is_last: bool


class Outcome(enum.StrEnum):
    """What a holder's word came to. `LOST`: it was not the holder any more, and nothing was written."""

    LOST = "lost"
    COMPLETED = "completed"  # the results are written, now or by this same lease before
    RETRY = "retry"  # the chunk waits for another attempt
    SPLIT = "split"  # its items wait, each in a chunk of its own
    BURIED = "buried"  # its items are dead letters


@dataclass(frozen=True, slots=True)
class Settled:
    """`ended` is how the job ended by this, None when it goes on (or had ended before)."""

    outcome: Outcome
    ended: JobState | None = None


@dataclass(frozen=True, slots=True)
class Reaped:
    """`lapsed` leases were taken back, `due` chunks have waited out their backoff: so many can be claimed again.
    `ended` are the ids of the jobs that ended by it, sorted."""

    lapsed: int = 0
    due: int = 0
    ended: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An item that was given up after `attempts` of its chunk. `dead_id` is `<job id>:<index>`."""

    dead_id: str
    job_id: str
    index: int
    name: str
    reason: str
    attempts: int
    at: float


@dataclass(frozen=True, slots=True)
class Swept:
    """A forgotten job and the blobs that it leaves; an item with a URL has none."""

    job_id: str
    blob_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class QueueDepth:
    """One priority: chunks that can be claimed now, items of active jobs without a result, age of the oldest claimable
    chunk's job in seconds (0 when there is none)."""

    priority: Priority
    chunks: int
    items: int
    oldest_s: float


@dataclass(frozen=True, slots=True)
class StoreStats:
    """`depths` from the highest priority to the lowest; `running` chunks are leased, `delayed` ones wait out a backoff.

    `totals` only ever grow: `created`, one for each end (`succeeded` …), and of items `done`, `failed`, `buried`;
    of chunks `retried`, `lapsed`, `split`; of webhooks `webhooks_delivered`, `webhooks_failed` (every attempt that came
    to nothing) and `webhooks_given_up`. `at` is when that was, by the store's clock, in Unix seconds.
    """

    depths: tuple[QueueDepth, ...]
    active_jobs: int
    running: int
    delayed: int
    dead: int
    totals: Mapping[str, int] = field(default_factory=dict)
    at: float | None = None


TOTALS = (
    "created",
    *(state.value for state in JobState if state.ended),
    "done",
    "failed",
    "buried",
    "retried",
    "lapsed",
    "split",
    "webhooks_delivered",
    "webhooks_failed",
    "webhooks_given_up",
)


def new_job_id() -> str:
    """128 bits that nobody can guess, in hexadecimal."""
    return secrets.token_hex(16)


def dead_id_of(job_id: str, index: int) -> str:
    return f"{job_id}:{index}"
