"""From a request to a job that is not lost any more."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from services.api.job_body import JobIntake, read_job_body
from services.api.job_item import JobBody, JobItem
from services.api.job_models import JobModels
from services.shared.asgi import Receive, Scope
from services.shared.clock import Clock
from services.shared.errors import Conflict, InvalidInput, Overloaded, ServingError, Unavailable
from services.shared.jobs.base import JobStore
from services.shared.jobs.job import Idempotency, Item, Job, JobRequest, NewJob
from services.shared.jobs.manifest import manifest_of
from services.shared.jobs.plan import chunks_of


@dataclass(frozen=True, slots=True)
class JobTerms:
    """What is settled before a body is read. `owner` is a key's id, "" for a caller without one, `trace` as in
    JobRequest."""

    job_id: str
    model: str
    owner: str
    idempotency_key: str | None
    trace: str = ""


@dataclass(frozen=True, slots=True)
class Accepted:
    """`chunks` is how many the job has that was made; 0: the idempotency key had made `job` before."""

    job: Job
    chunks: int


class JobAcceptance:
    """Stages a body, puts the job's manifest on disk, and only then makes the job: whatever the job store forgets, the
    manifest brings back."""

    def __init__(self, store: JobStore, intake: JobIntake, models: JobModels, clock: Clock) -> None:
        self._store = store
        self._intake = intake
        self._blobs = intake.blobs
        self._models = models
        self._clock = clock

    async def accept(self, scope: Scope, receive: Receive, terms: JobTerms) -> Accepted:
        """The job, or the one that the idempotency key made before; when this returns it survives a power cut.

        Raises what `read_job_body`, `JobModels.chunk_size` and `JobStore.create` do; nothing of the job is left then.
        """
        body = await read_job_body(scope, receive, self._intake, job_id=terms.job_id, model=terms.model)
        try:
            new = await self._written(terms, body)
        except BaseException:
            await self._discard(terms.job_id)
            raise
        try:
            created = await self._store.create(new)
        except (Overloaded, Conflict, InvalidInput):
            await self._discard(terms.job_id)
            raise
        except Unavailable:
            # Its answer may be lost and the job made all the same, so the images stay: those of a job that nobody
            # knows are swept. Without its manifest a job that was not made never will be: the client was told so.
            with contextlib.suppress(ServingError):
                await self._blobs.delete_manifest(terms.job_id)
            raise
        if not created.is_new:
            await self._discard(terms.job_id)
            return Accepted(created.job, 0)
        return Accepted(created.job, len(chunks_of(len(new.items), new.chunk_size)))

    async def _written(self, terms: JobTerms, body: JobBody) -> NewJob:
        size = await self._models.chunk_size(terms.model, body.options)  # a form may have named a version
        now = self._clock.now()
        new = new_job(terms, body, chunk_size=size, now=now)
        await self._blobs.put_manifest(terms.job_id, manifest_of(new, now))
        await self._blobs.settle(terms.job_id)
        return new

    async def _discard(self, job_id: str) -> None:
        with contextlib.suppress(ServingError):  # a store that is away is swept later
            await self._blobs.purge(job_id)


def new_job(terms: JobTerms, body: JobBody, *, chunk_size: int, now: float) -> NewJob:
    """The job that a body asks for."""
    options = body.options
    request = JobRequest(
        model=terms.model,
        version=options.version,
        arm=options.forced or "",
        top_k=options.top_k,
        priority=options.priority,
        deadline_at=None if options.timeout_s is None else now + options.timeout_s,
        callback_url=options.callback_url or "",
        trace=terms.trace,
    )
    key = _text(options.routing_key)
    items = tuple(_item(item, key) for item in body.items)
    idempotency = None if terms.idempotency_key is None else Idempotency(terms.idempotency_key, body.fingerprint)
    return NewJob(terms.job_id, terms.owner, request, items, chunk_size, idempotency)


def _item(item: JobItem, key: str) -> Item:
    return Item(item.blob_id or "", item.name, item.routing_key or key, item.url or "")


def _text(key: bytes | None) -> str:
    """A header's bytes: as UTF-8, which gives a prediction's and a job's items one arm, or else byte by byte."""
    if key is None:
        return ""
    try:
        return key.decode()
    except UnicodeDecodeError:
        return key.decode("latin-1")
