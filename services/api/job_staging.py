"""Putting a job's images into the blob store while they come in."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from services.api.job_limits import JobLimits
from services.shared.blobs.base import BlobStore
from services.shared.errors import InvalidInput, TooLarge

_HELD_BYTES = 2**20  # of an image that goes to the store beside the next one; a larger one goes as a stream
_PUTS_AT_ONCE = 8  # a bucket takes tens of milliseconds for each
_MAX_NAME_CHARACTERS = 255
_ZIP = b"PK\x03\x04"


@dataclass(frozen=True, slots=True)
class JobItem:
    """One image of a job: `blob_id` of staged bytes, or `url` of an image that the worker fetches.

    `name` is what the client calls it ("" when it does not), for people: printable, and a relative path where it comes
    from an archive. `routing_key` is its own, if it has one. `sha256` is of its bytes or of its URL, in hexadecimal.
    """

    name: str
    size_bytes: int
    blob_id: str | None
    url: str | None
    routing_key: str | None
    sha256: str


class Puts(Protocol):
    """What starts the puts: asyncio.TaskGroup, so that the first that fails ends the reading, and no put outlives it."""

    def create_task(self, coro: object, /) -> object: ...


class JobStaging:
    """Counts and stages the images of one body. `add` and `add_url` raise TooLarge as soon as a limit is passed,
    InvalidInput for what must not be an image, and what reading the content raises."""

    def __init__(self, blobs: BlobStore, job_id: str, limits: JobLimits, puts: asyncio.TaskGroup) -> None:
        self._blobs = blobs
        self._job_id = job_id
        self._limits = limits
        self._puts = puts
        self._places = asyncio.Semaphore(_PUTS_AT_ONCE)
        self._items: list[JobItem | None] = []
        self.total_bytes = 0

    @property
    def count(self) -> int:
        return len(self._items)

    @property
    def items(self) -> tuple[JobItem, ...]:
        """All of them, in their order; asked for when the task group has ended."""
        return tuple(item for item in self._items if item is not None)

    async def add(self, name: str, content: AsyncIterator[bytes], *, field: str, key: str | None = None) -> None:
        """Returns when the content is read; it may not be in the store yet."""
        index = self._next(None)
        digest = hashlib.sha256()
        checked = self._checked(content, digest, name, field)
        held, size = [], 0
        async for piece in checked:
            held.append(piece)
            size += len(piece)
            if size > _HELD_BYTES:
                await self._put(index, name, _resumed(held, checked), digest, key)
                return
        await self._places.acquire()
        self._puts.create_task(self._put_held(index, name, b"".join(held), digest, key))

    def add_url(self, name: str, url: str, key: str | None) -> None:
        self._next(JobItem(shown_name(name), 0, None, url, key, hashlib.sha256(url.encode()).hexdigest()))

    def _next(self, item: JobItem | None) -> int:
        if len(self._items) == self._limits.max_items:
            raise TooLarge(
                f"the job has more than {self._limits.max_items} images: send several jobs",
                field="images" if item else "image",
            )
        self._items.append(item)
        return len(self._items) - 1

    async def _put_held(self, index: int, name: str, data: bytes, digest: hashlib._Hash, key: str | None) -> None:
        try:
            await self._put(index, name, data, digest, key)
        finally:
            self._places.release()

    async def _put(
        self, index: int, name: str, content: bytes | AsyncIterator[bytes], digest: hashlib._Hash, key: str | None
    ) -> None:
        counted = _Counted(content)
        blob_id = await self._blobs.put(self._job_id, counted.content)
        self._items[index] = JobItem(shown_name(name), counted.size_bytes, blob_id, None, key, digest.hexdigest())

    async def _checked(
        self, content: AsyncIterator[bytes], digest: hashlib._Hash, name: str, field: str
    ) -> AsyncIterator[bytes]:
        limits, size, head = self._limits, 0, b""
        async for piece in content:
            size += len(piece)
            self.total_bytes += len(piece)
            if size > limits.max_image_bytes:
                raise TooLarge(
                    f"{_called(name)} is larger than {limits.max_image_bytes} bytes: use a smaller image", field=field
                )
            if self.total_bytes > limits.max_total_bytes:
                raise TooLarge(
                    f"with {_called(name)} the job's images have more than {limits.max_total_bytes} bytes together: "
                    "send several jobs",
                    field=field,
                )
            if len(head) < len(_ZIP):
                head = (head + piece)[: len(_ZIP)]
                if head == _ZIP:
                    raise InvalidInput(
                        f"{_called(name)} is a zip archive itself: send one archive of images, as application/zip or "
                        "as a file part named 'archive'",
                        field=field,
                    )
            digest.update(piece)
            yield piece
