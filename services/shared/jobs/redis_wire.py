"""What the job store's scripts are given and what they answer, as our types. Times are whole milliseconds there."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

from services.shared.jobs.document import (
    item_from_json,
    item_to_json,
    items_from_json,
    request_from_json,
    request_to_json,
)
from services.shared.jobs.job import (
    TOTALS,
    Chunk,
    DeadLetter,
    Job,
    JobState,
    Lease,
    NewJob,
    QueueDepth,
    StoreStats,
    dead_id_of,
)
from services.shared.jobs.webhook import Webhook, delivery_id_of
from services.shared.priority import Priority

Argument = str | bytes | int


def milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


def asked_by(owner: str | None) -> str:
    """Who asks, as the scripts know it."""
    return "" if owner is None else f"={owner}"


def create_arguments(
    new: NewJob, chunks: Sequence[Chunk], *, max_waiting_items: int, idempotency_s: float
) -> Iterator[Argument]:
    request, idempotency = new.request, new.idempotency
    yield from (new.job_id, new.owner)
    # Both are the caller's own text, of any length: what is kept of them is not.
    yield _digest(f"{len(new.owner)}:{new.owner}{idempotency.key}") if idempotency else ""
    yield _digest(idempotency.fingerprint) if idempotency else ""
    yield from (request_to_json(request), int(request.priority))
    yield 0 if request.deadline_at is None else max(1, milliseconds(request.deadline_at))
    yield from (max_waiting_items, milliseconds(idempotency_s), len(new.items))
    yield from map(item_to_json, new.items)
    for chunk in chunks:
        yield from (chunk.first, chunk.size)


def lease_arguments(lease: Lease) -> tuple[Argument, ...]:
    return lease.job_id, lease.chunk.first, lease.chunk.size, lease.token, lease.worker_id


def job_from(flat: Sequence[bytes]) -> Job:
    """A job's hash, as HGETALL lists it."""
    fields = _pairs(flat)
    return Job(
        job_id=fields["id"].decode(),
        owner=fields["owner"].decode(),
        request=request_from_json(fields["request"]),
        state=JobState(fields["state"].decode()),
        total=int(fields["total"]),
        done=int(fields["done"]),
        failed=int(fields["failed"]),
        created_at=int(fields["created"]) / 1000,
        started_at=_time(fields.get("started")),
        finished_at=_time(fields.get("finished")),
        expires_at=_time(fields.get("expires")),
        reason=fields.get("reason", b"").decode(),
    )


def lease_from(answer: Sequence[Any], worker_id: str) -> Lease:
    job_id, first, size, attempt, token, lapses_ms, owner, request, items = answer
    return Lease(
        job_id=job_id.decode(),
        owner=owner.decode(),
        request=request_from_json(request),
        chunk=Chunk(first, size),
        items=items_from_json(items),
        attempt=attempt,
        token=token,
        worker_id=worker_id,
        lapses_at=lapses_ms / 1000,
    )


def webhook_from(answer: Sequence[Any]) -> Webhook:
    flat, attempt, token = answer
    job = job_from(flat)
    return Webhook(delivery_id_of(job.job_id, int(_pairs(flat)["ends"])), job, attempt, token)


def dead_letter_from(answer: Sequence[Any]) -> DeadLetter:
    job_id, index, why, item = answer
    document = orjson.loads(why)
    return DeadLetter(
        dead_id=dead_id_of(job_id.decode(), index),
        job_id=job_id.decode(),
        index=index,
        name=item_from_json(item).name,
        reason=document["reason"],
        attempts=document["attempts"],
        at=document["at"] / 1000,
    )


def stats_from(answer: Sequence[Any]) -> StoreStats:
    depths, active_jobs, running, delayed, dead, flat, now_ms = answer
    totals = _pairs(flat)
    return StoreStats(
        tuple(
            QueueDepth(priority, chunks, items, max(0, oldest_ms) / 1000)
            for priority, (chunks, items, oldest_ms) in zip(Priority, depths, strict=True)
        ),
        active_jobs=active_jobs,
        running=running,
        delayed=delayed,
        dead=dead,
        totals={name: int(totals.get(name, 0)) for name in TOTALS},
        at=now_ms / 1000,
    )


def _pairs(flat: Sequence[bytes]) -> Mapping[str, bytes]:
    return {name.decode(): value for name, value in zip(flat[::2], flat[1::2], strict=True)}


def _time(text: bytes | None) -> float | None:
    return None if text is None else int(text) / 1000


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
