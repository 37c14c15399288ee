"""Blobs in this process: the twin of the real stores, for tests."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable, Sequence

from services.shared.blobs.base import (
    FULL_RETRY_S,
    StagedJob,
    check_blob_id,
    check_job_id,
    new_blob_id,
    no_such_blob,
    pieces_of,
)
from services.shared.clock import Clock, SystemClock
from services.shared.errors import NotFound, TooLarge, Unavailable


class MemoryBlobStore:
    """A BlobStore of `capacity_bytes` that ends with its process. `settled`: the jobs that `settle` was called for."""

    def __init__(self, *, capacity_bytes: int = 2**40, clock: Clock | None = None) -> None:
        self._capacity_bytes = capacity_bytes
        self._clock = clock or SystemClock()
        self._blobs: dict[str, bytes] = {}
        self._manifests: dict[str, bytes] = {}
        self._changed_at: dict[str, float] = {}
        self.settled: list[str] = []

    async def put(self, job_id: str, content: bytes | AsyncIterable[bytes]) -> str:
        blob_id = new_blob_id(job_id)
        data = b"".join([piece async for piece in pieces_of(content)])
        await self.check_room(len(data))
        self._blobs[blob_id] = data
        self._changed_at[job_id] = self._clock.now()
        return blob_id

    async def settle(self, job_id: str) -> None:
        self.settled.append(check_job_id(job_id))

    async def get(self, blob_id: str, *, max_bytes: int) -> bytes:
        data = self._blobs.get(check_blob_id(blob_id))
        if data is None:
            raise no_such_blob()
        if len(data) > max_bytes:
            raise TooLarge(f"the image is larger than {max_bytes} bytes", field="image")
        return data

    async def get_some(
        self, blob_ids: Sequence[str], *, max_bytes: int, total_bytes: int
    ) -> tuple[bytes | NotFound | TooLarge, ...]:
        found: list[bytes | NotFound | TooLarge] = []
        for blob_id in blob_ids:
            try:
                found.append(await self.get(blob_id, max_bytes=max_bytes))
            except (NotFound, TooLarge) as error:
                found.append(error)
            if len(found) > 1 and sum(len(each) for each in found if isinstance(each, bytes)) > total_bytes:
                return tuple(found[:-1])
        return tuple(found)

    async def delete(self, blob_ids: Iterable[str]) -> None:
        for blob_id in [check_blob_id(blob_id) for blob_id in blob_ids]:
            self._blobs.pop(blob_id, None)

    async def purge(self, job_id: str) -> None:
        prefix = check_job_id(job_id) + "/"
        await self.delete_manifest(job_id)
        await self.delete([blob_id for blob_id in self._blobs if blob_id.startswith(prefix)])
        self._changed_at.pop(job_id, None)

    async def put_manifest(self, job_id: str, content: bytes) -> None:
        await self.check_room(len(content))
        self._manifests[check_job_id(job_id)] = content
        self._changed_at[job_id] = self._clock.now()

    async def manifest(self, job_id: str) -> bytes | None:
        return self._manifests.get(check_job_id(job_id))

    async def delete_manifest(self, job_id: str) -> None:
        self._manifests.pop(check_job_id(job_id), None)

    async def check_room(self, size_bytes: int) -> None:
        kept = (*self._blobs.values(), *self._manifests.values())
        if sum(map(len, kept)) + size_bytes > self._capacity_bytes:
            raise Unavailable("no room for more images: try again later", retry_after_s=FULL_RETRY_S)

    async def jobs(self) -> tuple[StagedJob, ...]:
        staged = {blob_id.partition("/")[0] for blob_id in self._blobs} | self._manifests.keys()
        return tuple(StagedJob(job_id, self._changed_at[job_id]) for job_id in sorted(staged))
