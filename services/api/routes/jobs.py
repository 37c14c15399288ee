"""Looking at jobs, their results and their progress, and ending them; the dead letters."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import StreamingResponse

from services.api import job_events, job_results
from services.api.job_events import ProgressReader
from services.api.job_parts import JobParts, owner_seen
from services.api.job_results import Pace, ResultReader, Wanted
from services.api.job_schemas import DeadLetterDocument, DeadLetterList, JobDocument, JobLimitsDocument, JobList
from services.shared.blobs.base import check_job_id
from services.shared.deferred import Deferred
from services.shared.errors import Overloaded, ServingError
from services.shared.jobs.base import no_such_job
from services.shared.jobs.job import Job
from services.shared.jobs.job_document import job_document, timestamp
from services.shared.jobs.plan import MAX_ITEMS

MAX_STREAMS = 256
_STREAM_HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}  # the second is nginx's

# Said for people and generators; `_asked` decides.
_ID = "[A-Za-z0-9][A-Za-z0-9_-]{0,63}"
_EXAMPLE = "0f8fad5bd9cb469fa16570867728950e"
JobId = Annotated[str, Path(description="the job's id", examples=[_EXAMPLE], json_schema_extra={"pattern": f"^{_ID}$"})]
DeadId = Annotated[str, Path(examples=[f"{_EXAMPLE}:0"], json_schema_extra={"pattern": f"^{_ID}:[0-9]{{1,5}}$"})]
Limit = Annotated[int, Query(ge=1, le=1000, description="at most so many")]


def _shown(job: Job) -> JobDocument:
    return JobDocument.model_validate(job_document(job))


def _asked(request: Request, job_id: str) -> None:
    """Notes the job for the request's log line; raises NotFound for what is no job's id, which no store must see."""
    try:
        check_job_id(job_id)
    except ValueError:
        raise no_such_job(job_id) from None
    request.scope["state"].setdefault("log", {})["job_id"] = job_id


def job_routes(jobs: Deferred[JobParts], pace: Pace, ending: Callable[[], bool]) -> APIRouter:
    """`ending()` tells that this process is about to end, and with it every stream."""
    router = APIRouter(prefix="/v1/jobs", tags=["jobs"])
    _add_dead_letters(router, jobs)
    _add_reads(router, jobs)
    _add_streams(router, jobs, pace, ending)

    @router.delete("/{job_id}", responses={204: {"description": "purged"}}, response_model=JobDocument)
    async def end_job(
        request: Request,
        job_id: JobId,
        purge: Annotated[bool, Query(description="removes its images and results at once, too")] = False,
    ) -> Any:
        """Cancels a job: what has no result yet gets none. A job that has ended stays as it is."""
        _asked(request, job_id)
        parts, owner = await jobs.get(), owner_seen(request.scope)
        if not purge:
            return _shown(await parts.store.cancel(job_id, owner=owner))
        await _purge(parts, job_id, owner)
        return Response(status_code=204)

    return router


async def _purge(parts: JobParts, job_id: str, owner: str | None) -> None:
    """The manifest goes first: nothing brings the job back. What fails halfway is asked for again, or swept."""
    await parts.store.get(job_id, owner=owner)
    await parts.intake.blobs.delete_manifest(job_id)
    await parts.store.purge(job_id, owner=owner)
    await parts.intake.blobs.purge(job_id)
    with contextlib.suppress(ServingError):  # the keeper does the same within seconds
        await parts.store.sweep()
        await parts.store.forget(job_id)


def _add_reads(router: APIRouter, jobs: Deferred[JobParts]) -> None:
    @router.get("")
    async def list_jobs(
        request: Request,
        limit: Limit = 50,
        before: Annotated[str | None, Query(max_length=64, description="the last job of the page before")] = None,
    ) -> JobList:
        """The jobs of the key that asks, the newest first; an administrator's key sees all."""
        store = (await jobs.get()).store
        found = await store.list(owner=owner_seen(request.scope), limit=limit, before=before)
        return JobList(jobs=[_shown(job) for job in found])

    @router.get("/limits")  # before `/{job_id}`, which would take it for an id
    async def limits() -> JobLimitsDocument:
        """What one job may hold: a larger one is refused, and has to be sent as several."""
        held = (await jobs.get()).intake.limits
        return JobLimitsDocument(
            max_images=held.max_items,
            max_bytes=min(held.max_total_bytes, held.body.max_bytes),
            max_image_bytes=held.max_image_bytes,
        )

    @router.get("/{job_id}")
    async def show_job(request: Request, job_id: JobId) -> JobDocument:
        """How a job stands. It is seen by the key that made it and by administrators."""
        _asked(request, job_id)
        return _shown(await (await jobs.get()).store.get(job_id, owner=owner_seen(request.scope)))


def _add_streams(router: APIRouter, jobs: Deferred[JobParts], pace: Pace, ending: Callable[[], bool]) -> None:
    streams = 0

    async def counted(content: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        nonlocal streams
        streams += 1
        try:
            yield b""  # the headers go out with it: the first line may be long in coming
            async for piece in content:
                yield piece
        finally:
            streams -= 1

    def stream(content: AsyncIterator[bytes], media_type: str) -> StreamingResponse:
        return StreamingResponse(counted(content), media_type=media_type, headers=_STREAM_HEADERS)

    def check_places() -> None:
        if streams >= MAX_STREAMS:
            raise Overloaded("as many clients follow jobs as this server can hold: ask for the job itself")

    @router.get(
        "/{job_id}/results", response_class=StreamingResponse, responses=_streamed(job_results.MEDIA_TYPE, _LINES)
    )
    async def results(
        request: Request,
        job_id: JobId,
        start: Annotated[int, Query(alias="from", ge=0, le=MAX_ITEMS, description="the first image's index")] = 0,
        limit: Annotated[int | None, Query(ge=1, le=MAX_ITEMS, description="at most so many lines")] = None,
        follow: Annotated[bool, Query(description="go on until the job has ended")] = False,
    ) -> StreamingResponse:
        """The results that are there, one JSON object a line, in the order of the images and without a gap: go on later
        with `from` = the last line's index + 1. A line has a `result`, or an `error` with its `cause` and `detail`.

        With `follow` it ends with the job, or early when this server is being replaced: then go on in the same way.
        """
        _asked(request, job_id)
        check_places()
        reader = ResultReader((await jobs.get()).store, pace, ending)
        wanted = Wanted(job_id, owner_seen(request.scope), start, limit, follow)
        return stream(reader.lines(wanted, await reader.first(wanted)), job_results.MEDIA_TYPE)

    @router.get(
        "/{job_id}/events", response_class=StreamingResponse, responses=_streamed(job_events.MEDIA_TYPE, _EVENT)
    )
    async def events(request: Request, job_id: JobId) -> StreamingResponse:
        """Server-sent events: `progress` with the job on each change, at most four a second, and `end` with the job as
        the last one. A stream that stops without `end` is to be opened again."""
        _asked(request, job_id)
        check_places()
        reader, owner = ProgressReader((await jobs.get()).store, pace, ending), owner_seen(request.scope)
        return stream(reader.events(await reader.first(job_id, owner), owner), job_events.MEDIA_TYPE)


_LINES: dict[str, Any] = {"type": "string", "description": "JSON objects, one a line"}
_EVENT: dict[str, Any] = {
    "type": "object",
    "properties": {"event": {"enum": ["progress", "end"]}, "data": {"description": "a JobDocument, as JSON"}},
}


def _streamed(media_type: str, schema: dict[str, Any]) -> dict[int | str, dict[str, Any]]:
    return {200: {"description": "as it comes", "content": {media_type: {"schema": schema}}}}


def _add_dead_letters(router: APIRouter, jobs: Deferred[JobParts]) -> None:
    """Before `/{job_id}`, which would take `dead` for an id."""

    @router.get("/dead")
    async def dead_letters(limit: Limit = 100) -> DeadLetterList:
        """Images that were given up, of all jobs: whatever their attempts broke on is in `reason`."""
        found = await (await jobs.get()).store.dead(limit=limit)
        letters = [
            DeadLetterDocument(
                dead_id=letter.dead_id,
                job_id=letter.job_id,
                index=letter.index,
                name=letter.name,
                reason=letter.reason,
                attempts=letter.attempts,
                at=timestamp(letter.at) or "",
            )
            for letter in found
        ]
        return DeadLetterList(dead=letters)

    @router.post("/dead/{dead_id}/requeue")
    async def requeue(request: Request, dead_id: DeadId) -> JobDocument:
        """Tries an image again; its job is active until it has a result."""
        _asked(request, dead_id.rpartition(":")[0])
        parts = await jobs.get()
        job = await parts.store.requeue(dead_id)
        await parts.queue.wake(job.request.priority, 1)
        return _shown(job)
