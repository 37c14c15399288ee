"""The images of a zip archive: the archive goes to a file that nobody else sees, then its entries one by one."""

from __future__ import annotations

import asyncio
import itertools
import os
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import IO, TypeVar

from services.api.job_limits import JobLimits
from services.api.job_staging import JobStaging
from services.shared.archive.base import FIELD, ArchiveBytes
from services.shared.archive.content import content_of
from services.shared.archive.entries import entries_of
from services.shared.blobs.base import AWAY_RETRY_S, BlobStore
from services.shared.blobs.uninterrupted import finished
from services.shared.errors import InvalidInput, Unavailable

T = TypeVar("T")

_WRITTEN_AT_ONCE_BYTES = 2**20
_PIECES_AT_ONCE = 4


async def stage_archive(
    pieces: AsyncIterator[bytes], staging: JobStaging, blobs: BlobStore, limits: JobLimits, spool_dir: Path
) -> None:
    """Adds every image of the archive that `pieces` are.

    Its directory is at its end, hence the file, which has no name and so is gone with this process, however that ends.
    Raises InvalidInput, TooLarge, Unavailable, and what `pieces` raises.
    """
    spool = _new_spool(spool_dir)
    try:
        size_bytes = await _written(pieces, spool, blobs)
        archive = ArchiveBytes(size_bytes, lambda at, size: os.pread(spool.fileno(), size, at))
        within = limits.archive(staging.count, staging.total_bytes)
        entries = await _in_thread(lambda: entries_of(archive, within))
        if not entries:
            raise InvalidInput("the zip archive has no images in it", field=FIELD)
        await blobs.check_room(sum(entry.size_bytes for entry in entries))
        for entry in entries:
            await staging.add(entry.name, _drawn(content_of(archive, entry)), field=FIELD)
    finally:
        spool.close()


async def _written(pieces: AsyncIterator[bytes], spool: IO[bytes], blobs: BlobStore) -> int:
    total, waiting, size = 0, list[bytes](), 0
    async for piece in pieces:
        waiting.append(piece)
        size += len(piece)
        if size >= _WRITTEN_AT_ONCE_BYTES:
            await blobs.check_room(size)
            await _in_thread(partial(spool.writelines, waiting))
            total, waiting, size = total + size, [], 0
    await _in_thread(partial(spool.writelines, waiting))
    await _in_thread(spool.flush)
    return total + size


async def _drawn(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    """An iterator that decompresses, a few pieces at a time and never on the event loop."""
    drawn: list[bytes] | None = None
    while drawn is None or len(drawn) == _PIECES_AT_ONCE:  # fewer: it has ended, and a thread need not be asked again
        drawn = await _in_thread(lambda: list(itertools.islice(pieces, _PIECES_AT_ONCE)))
        for piece in drawn:
            yield piece


def _new_spool(spool_dir: Path) -> IO[bytes]:
    """Not in a thread: a caller that is cancelled meanwhile would not get it, and could not close it."""
    try:
        spool_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        return tempfile.TemporaryFile(dir=spool_dir)
    except OSError as error:
        raise _no_place(error) from error


async def _in_thread(work: Callable[[], T]) -> T:
    try:
        return await finished(asyncio.to_thread(work))
    except OSError as error:
        raise _no_place(error) from error


def _no_place(error: OSError) -> Unavailable:
    return Unavailable(f"there is no place to read the archive: {error.strerror}", retry_after_s=AWAY_RETRY_S)
