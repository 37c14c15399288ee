"""Putting a job's images into the blob store while they come in."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterable

from services.api.job_item import JobItem, called, shown_name
from services.api.job_limits import JobLimits
from services.shared.blobs.base import BlobStore
from services.shared.errors import InvalidInput, TooLarge

_HELD_BYTES = 2**20  # an image up to this goes to the store while the next one comes in; a larger one as it comes
_PUTS_AT_ONCE = 8  # a bucket takes tens of milliseconds for each
_ZIP = b"PK\x03\x04"


class JobStaging:
    """Counts and stages the images of one body.

    `add` and `add_url` raise TooLarge as soon as a limit is passed, InvalidInput for what must not be an image, and
    what reading the content raises. `puts` ends when all is in the store: the first put that fails ends the reading.
    """

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
        """All of them, in their order; to be asked for when `puts` has ended."""
        return tuple(item for item in self._items if item is not None)

    async def add(self, name: str, content: AsyncIterator[bytes], *, field: str, key: str | None = None) -> None:
        """Returns when the content is read; it may not be in the store yet."""
        image = _Image(self._place(field), name, field, key)
        checked = self._checked(image, content)
        held: list[bytes] = []
        async for piece in checked:
            held.append(piece)
            if image.size_bytes > _HELD_BYTES:
                await self._put(image, _resumed(held, checked))
                return
        await self._places.acquire()
        self._puts.create_task(self._put_held(image, b"".join(held)))

    def add_url(self, name: str, url: str, *, field: str, key: str | None = None) -> None:
        self._items[self._place(field)] = JobItem(
            shown_name(name), 0, None, url, key, hashlib.sha256(url.encode()).hexdigest()
        )

    def _place(self, field: str) -> int:
        if len(self._items) == self._limits.max_items:
            raise TooLarge(f"the job has more than {self._limits.max_items} images: send several jobs", field=field)
        self._items.append(None)
        return len(self._items) - 1

    async def _put_held(self, image: _Image, data: bytes) -> None:
        try:
            await self._put(image, data)
        finally:
            self._places.release()

    async def _put(self, image: _Image, content: bytes | AsyncIterator[bytes]) -> None:
        blob_id = await self._blobs.put(self._job_id, content)
        self._items[image.index] = JobItem(
            shown_name(image.name), image.size_bytes, blob_id, None, image.key, image.digest.hexdigest()
        )

    async def _checked(self, image: _Image, content: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        limits, head = self._limits, b""
        async for piece in content:
            image.size_bytes += len(piece)
            self.total_bytes += len(piece)
            if image.size_bytes > limits.max_image_bytes:
                raise TooLarge(
                    f"{called(image.name)} is larger than {limits.max_image_bytes} bytes: use a smaller image",
                    field=image.field,
                )
            if self.total_bytes > limits.max_total_bytes:
                raise TooLarge(
                    f"with {called(image.name)} the images of the job have more than {limits.max_total_bytes} bytes "
                    "together: send several jobs",
                    field=image.field,
                )
            if len(head) < len(_ZIP):
                head = (head + piece)[: len(_ZIP)]
                if head == _ZIP:
                    raise InvalidInput(
                        f"{called(image.name)} is a zip archive: send one archive of images, as application/zip or as "
                        "a file part named 'archive'",
                        field=image.field,
                    )
            image.digest.update(piece)
            yield piece


class _Image:
    """What is counted of one image while it comes in."""

    __slots__ = ("digest", "field", "index", "key", "name", "size_bytes")

    def __init__(self, index: int, name: str, field: str, key: str | None) -> None:
        self.index, self.name, self.field, self.key = index, name, field, key
        self.digest = hashlib.sha256()
        self.size_bytes = 0


async def _resumed(held: Iterable[bytes], rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    for piece in held:
        yield piece
    async for piece in rest:
        yield piece
