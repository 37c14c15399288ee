"""`POST /v1/models/{model}/jobs`: plain ASGI, because its body is read as it comes."""

from __future__ import annotations

from dataclasses import replace

import orjson
from starlette.types import Receive, Scope, Send

from services.api.job_acceptance import Accepted, JobAcceptance, JobTerms
from services.api.job_body import JSON, job_media_type
from services.api.job_models import JobModels
from services.api.job_options import idempotency_key, job_options
from services.api.job_parts import JobParts, owner_made
from services.api.problems import problem
from services.shared.asgi import Answer, ClientGone, declared_length, send_answer
from services.shared.clock import Clock
from services.shared.deferred import Deferred
from services.shared.errors import InvalidInput
from services.shared.jobs.job import new_job_id
from services.shared.jobs.job_document import job_document
from services.shared.model_ref import check_model_name
from services.shared.tracing.base import SpanKind
from services.shared.tracing.span import carried_context, inner_span
from services.shared.tracing.traceparent import context_to_text

PREFIX, SUFFIX = "/v1/models/", "/jobs"
ROUTE = "/v1/models/{model}/jobs"


class JobSubmit:
    """Refuses what can be refused before the body is read: a job that cannot be worked on, and any while the store is
    away, the queue or the disk is full."""

    def __init__(self, jobs: Deferred[JobParts], models: JobModels, clock: Clock) -> None:
        self._jobs = jobs
        self._models = models
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"]["route"] = ROUTE
        if scope["method"] != "POST":
            await _wrong_method(scope, send)
            return
        terms = JobTerms(new_job_id(), _model_of(scope["path"]), owner_made(scope), idempotency_key(scope))
        log = scope["state"].setdefault("log", {})
        log["job_id"] = terms.job_id
        parts = await self._jobs.get()
        with parts.uploads.place(await self._checked(scope, parts, terms.model)):
            try:
                accepted = await self._accepted(scope, receive, parts, terms)
            except ClientGone:
                return
        log["job_id"] = accepted.job.job_id
        await send_answer(send, answer_of(accepted))
        if accepted.chunks:
            await parts.queue.wake(accepted.job.request.priority, accepted.chunks)

    async def _accepted(self, scope: Scope, receive: Receive, parts: JobParts, terms: JobTerms) -> Accepted:
        """The job is a part of the trace that asks for it, and so is what workers do for it later."""
        acceptance = JobAcceptance(parts.store, parts.intake, self._models, self._clock)
        with inner_span("submit job", SpanKind.PRODUCER) as span:
            context = carried_context()
            asked = terms if context is None else replace(terms, trace=context_to_text(context))
            accepted = await acceptance.accept(scope, receive, asked)
            if span is not None:
                job = accepted.job
                span.attributes.update({"grayscale.job_id": job.job_id, "grayscale.model": job.request.model})
                span.attributes.update({"grayscale.images": job.total, "grayscale.chunks": accepted.chunks})
            return accepted

    async def _checked(self, scope: Scope, parts: JobParts, model: str) -> int:
        """How much of the body will be held in memory; raises what is known to be wrong before any of it comes."""
        media_type = job_media_type(scope)
        await self._models.chunk_size(model, job_options(scope, {}, parts.intake.check_url))
        scope["state"]["model"] = model
        await parts.watch.check()
        return _held_bytes(scope, parts.intake.limits.json_body.max_bytes) if media_type.name == JSON else 0


def answer_of(accepted: Accepted) -> Answer:
    """202 with the job; the same for a job that was accepted before, which a header tells."""
    document = job_document(accepted.job)
    headers = {"content-type": "application/json", "location": str(document["status_url"])}
    if not accepted.chunks:
        headers["idempotency-replayed"] = "true"
    return Answer(202, orjson.dumps(document), headers)


def _model_of(path: str) -> str:
    """Raises InvalidInput for what names no model."""
    return check_model_name(path.removeprefix(PREFIX).removesuffix(SUFFIX))


def _held_bytes(scope: Scope, most: int) -> int:
    """What the body will take at most; one that does not say is taken for the largest that is read."""
    declared = declared_length(scope)
    return most if declared is None else min(declared, most)


async def _wrong_method(scope: Scope, send: Send) -> None:
    answer = problem(InvalidInput("Method Not Allowed"), scope["state"]["request_id"], status=405)
    await send({"type": "http.response.start", "status": 405, "headers": [*answer.headers, (b"allow", b"POST")]})
    await send({"type": "http.response.body", "body": answer.body})
