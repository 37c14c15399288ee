"""Blobs: the bytes of a job's images between their upload and their answers.

A blob id is `<job id>/<32 hexadecimal digits>`. The second half comes from the system's random source, so that nobody
can guess the name of somebody else's image; both halves are checked against their patterns before they touch a path
or a URL, so that no name leads out of its job or out of the store.

A job's manifest lies beside its blobs and says what the job is: where there is one, the job was meant to be accepted.
It is what `jobs/` makes a job from again that its own store has lost.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from services.shared.errors import NotFound, TooLarge
from services.shared.random_bytes import random_bytes

_JOB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_BLOB_ID = re.compile(rf"({_JOB_ID.pattern})/([0-9a-f]{{32}})")

MANIFEST = "manifest.json"  # beside a job's blobs, and no blob's name
FULL_RETRY_S = 60.0  # room comes back when jobs are done or swept
AWAY_RETRY_S = 5.0


@dataclass(frozen=True, slots=True)
class StagedJob:
    """A job that has blobs or a manifest; `changed_at` is when the newest was written (Unix seconds, by the store's
    clock)."""

    job_id: str
    changed_at: float


class BlobStore(Protocol):
    """Every method raises Unavailable with `retry_after_s` when the store is full or cannot be used."""

    async def put(self, job_id: str, content: bytes | AsyncIterable[bytes]) -> str:
        """Keeps the bytes and gives their blob id. Whole or not at all: also when it is cancelled, or when reading
        `content` raises (which is raised here). A stream is never held in memory as a whole.

        Only `settle` makes it survive a power cut.
        """
        ...

    async def settle(self, job_id: str) -> None:
        """When this returns, every blob put for the job before, and its manifest, survive the death of this machine's
        power."""
        ...

    async def get(self, blob_id: str, *, max_bytes: int) -> bytes:
        """Raises NotFound for a blob that is gone, or for a text that is not a blob id; TooLarge beyond `max_bytes`."""
        ...

    async def get_some(
        self, blob_ids: Sequence[str], *, max_bytes: int, total_bytes: int
    ) -> tuple[bytes | NotFound | TooLarge, ...]:
        """The first of these blobs, each as `get` gives it or what `get` raises for it: at least one (of a list that
        has any), and of the following as many as stay within `total_bytes` of memory together."""
        ...

    async def delete(self, blob_ids: Iterable[str]) -> None:
        """Those that are gone already are no error."""
        ...

    async def purge(self, job_id: str) -> None:
        """Deletes all that a job has here, its manifest first; nothing is no error."""
        ...

    async def put_manifest(self, job_id: str, content: bytes) -> None:
        """Keeps the job's manifest, whole or not at all, in place of one that it had."""
        ...

    async def manifest(self, job_id: str) -> bytes | None:
        """None when there is none."""
        ...

    async def delete_manifest(self, job_id: str) -> None:
        """When this returns, the manifest does not come back with the power. None is no error."""
        ...

    async def check_room(self, size_bytes: int) -> None:
        """Raises Unavailable when so many bytes more would not fit."""
        ...

    async def jobs(self) -> tuple[StagedJob, ...]:
        """Which jobs have blobs or a manifest: one without a manifest, that no job store knows and that has not changed
        for hours, was left by a process that was killed while it read an upload, and may be purged."""
        ...


def check_job_id(job_id: str) -> str:
    """The id itself if blobs can be kept under it; raises ValueError otherwise: job ids are made by us."""
    if not _JOB_ID.fullmatch(job_id):
        raise ValueError(f"{job_id[:80]!r} is not a job id: 1 to 64 letters, digits, '_' and '-'")
    return job_id


def new_blob_id(job_id: str) -> str:
    """Raises ValueError for what is not a job id."""
    return f"{check_job_id(job_id)}/{random_bytes(16).hex()}"


def check_blob_id(blob_id: str) -> str:
    """The id itself; raises NotFound for what no store can have."""
    if not _BLOB_ID.fullmatch(blob_id):
        raise no_such_blob()
    return blob_id


def no_such_blob() -> NotFound:
    """The same for an id that is gone and for a text that is none."""
    return NotFound("the bytes of this image are not kept any more", field="image")


async def pieces_of(content: bytes | AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    """What `put` is given, as a stream."""
    if isinstance(content, bytes):
        yield content
        return
    async for piece in content:
        yield piece
