"""A job's manifest: the whole job as JSON, kept beside its blobs until the job is deleted.

It is on disk before the job is accepted, so that a job store that forgets its last second, or all of it, loses no job:
the keeper makes it again from this. When a job is deleted its manifest goes first, and so nothing brings it back.
"""

from __future__ import annotations

from dataclasses import asdict

import orjson

from services.shared.errors import Unavailable
from services.shared.jobs.document import item_from_json, item_to_json, known, request_from_json, request_to_json
from services.shared.jobs.job import Idempotency, NewJob

_FORMAT = 1


def manifest_of(new: NewJob, created_at: float) -> bytes:
    """`created_at` in Unix seconds: when it was accepted."""
    return orjson.dumps(
        {
            "format": _FORMAT,
            "created_at": created_at,
            "job_id": new.job_id,
            "owner": new.owner,
            "request": orjson.Fragment(request_to_json(new.request)),
            "items": [orjson.Fragment(item_to_json(item)) for item in new.items],
            "chunk_size": new.chunk_size,
            "idempotency": None if new.idempotency is None else asdict(new.idempotency),
        }
    )


def new_job_from(manifest: bytes) -> tuple[NewJob, float]:
    """The job and when it was accepted; raises Unavailable for a document that this version cannot read."""
    try:
        fields = orjson.loads(manifest)
        if fields["format"] != _FORMAT:
            raise ValueError(f"its format is {fields['format']!r}")
        idempotency = fields["idempotency"]
        new = NewJob(
            job_id=str(fields["job_id"]),
            owner=str(fields["owner"]),
            request=request_from_json(orjson.dumps(fields["request"])),
            items=tuple(item_from_json(orjson.dumps(item)) for item in fields["items"]),
            chunk_size=int(fields["chunk_size"]),
            idempotency=None if idempotency is None else Idempotency(**known(Idempotency, idempotency)),
        )
        return new, float(fields["created_at"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Unavailable(f"a job's manifest cannot be read: {error}") from error
