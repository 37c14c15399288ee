"""Blobs as files: `<root>/<job id>/<32 hexadecimal digits>`, readable by their owner only; the manifest beside them."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import shutil
from collections.abc import AsyncIterable, Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from services.shared.blobs.base import (
    AWAY_RETRY_S,
    FULL_RETRY_S,
    MANIFEST,
    StagedJob,
    check_blob_id,
    check_job_id,
    new_blob_id,
    no_such_blob,
    pieces_of,
)
from services.shared.blobs.settings import RESERVE_BYTES
from services.shared.blobs.uninterrupted import finished
from services.shared.durable_file import replace_file, sync
from services.shared.errors import NotFound, TooLarge, Unavailable

T = TypeVar("T")

_WRITTEN_AT_ONCE_BYTES = 2**20
_SYNC_THREADS = 8  # journalled file systems commit what several threads ask for at once
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class DiskBlobStore:
    """A BlobStore in a directory, which is made when it is missing; it fills its disk up to `reserve_bytes`.

    A blob is written under a name that nobody reads and renamed when it is whole.
    """

    def __init__(self, root: Path, *, reserve_bytes: int = RESERVE_BYTES) -> None:
        self._root = root
        self._reserve_bytes = reserve_bytes

    async def put(self, job_id: str, content: bytes | AsyncIterable[bytes]) -> str:
        blob_id = new_blob_id(job_id)
        target = self._root / blob_id
        part = target.with_name(f".{target.name}")
        waiting: list[bytes] = []
        size = 0
        begun = False
        try:
            async for piece in pieces_of(content):
                waiting.append(piece)
                size += len(piece)
                if size >= _WRITTEN_AT_ONCE_BYTES:
                    begun, batch, waiting, size = True, waiting, [], 0
                    await _in_thread(partial(self._append, part, batch))
            begun = True
            await _in_thread(partial(self._complete, part, waiting, target))
        except BaseException:
            if begun:
                await _in_thread(lambda: _remove([part]))
            raise
        return blob_id

    async def settle(self, job_id: str) -> None:
        directory = self._root / check_job_id(job_id)
        files = await _in_thread(lambda: list(directory.iterdir()) if directory.is_dir() else [])
        slices = [files[at::_SYNC_THREADS] for at in range(_SYNC_THREADS)]
        await asyncio.gather(*(_in_thread(partial(_sync_all, some)) for some in slices if some))
        if files:
            await _in_thread(lambda: _sync_all([directory, self._root, self._root.parent]))

    async def get(self, blob_id: str, *, max_bytes: int) -> bytes:
        (found,) = await self.get_some((blob_id,), max_bytes=max_bytes, total_bytes=max_bytes)
        if not isinstance(found, bytes):
            raise found
        return found

    async def get_some(
        self, blob_ids: Sequence[str], *, max_bytes: int, total_bytes: int
    ) -> tuple[bytes | NotFound | TooLarge, ...]:
        def read() -> tuple[bytes | NotFound | TooLarge, ...]:
            found: list[bytes | NotFound | TooLarge] = []
            room, root = max(total_bytes, 0), str(self._root)
            for blob_id in blob_ids:
                try:
                    data = _read(f"{root}/{check_blob_id(blob_id)}", max_bytes, room if found else max_bytes)
                except (NotFound, TooLarge) as error:
                    found.append(error)
                    continue
                if data is None:
                    break
                found.append(data)
                room = max(room - len(data), 0)
            return tuple(found)

        return await _in_thread(read)

    async def delete(self, blob_ids: Iterable[str]) -> None:
        paths = [self._root / check_blob_id(blob_id) for blob_id in blob_ids]

        await _in_thread(lambda: _remove(paths))

    async def purge(self, job_id: str) -> None:
        directory = self._root / check_job_id(job_id)

        def remove() -> None:
            if directory.is_dir():
                _remove_manifest(directory)
                shutil.rmtree(directory)

        await _in_thread(remove)

    async def put_manifest(self, job_id: str, content: bytes) -> None:
        directory = self._root / check_job_id(job_id)

        def write() -> None:
            self._check_room(len(content))
            directory.mkdir(mode=0o700, exist_ok=True)
            # Its bytes before its name: half a manifest must not come back with the power.
            replace_file(directory / MANIFEST, content, durable=True)

        await _in_thread(write)

    async def manifest(self, job_id: str) -> bytes | None:
        path = self._root / check_job_id(job_id) / MANIFEST
        return await _in_thread(lambda: path.read_bytes() if path.is_file() else None)

    async def delete_manifest(self, job_id: str) -> None:
        directory = self._root / check_job_id(job_id)
        await _in_thread(lambda: _remove_manifest(directory))

    async def check_room(self, size_bytes: int) -> None:
        await _in_thread(lambda: self._check_room(size_bytes))

    async def jobs(self) -> tuple[StagedJob, ...]:
        def read() -> tuple[StagedJob, ...]:
            if not self._root.is_dir():
                return ()
            found = []
            for name in os.listdir(self._root):
                directory = self._root / name
                try:
                    check_job_id(name)
                    # A directory changes with every name in it, and a file that is being written has one.
                    files = [directory / file for file in os.listdir(directory)]
                    newest = max(path.stat().st_mtime for path in (directory, *files))
                except (ValueError, FileNotFoundError, NotADirectoryError):
                    continue  # not ours, or purged meanwhile
                found.append(StagedJob(name, newest))
            return tuple(sorted(found, key=lambda job: job.job_id))

        return await _in_thread(read)

    def _check_room(self, size_bytes: int) -> None:
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        if shutil.disk_usage(self._root).free - size_bytes < self._reserve_bytes:
            raise _full()

    def _append(self, part: Path, pieces: Sequence[bytes]) -> None:
        self._check_room(sum(map(len, pieces)))
        part.parent.mkdir(mode=0o700, exist_ok=True)
        with open(part, "ab", opener=_open_private) as file:
            for piece in pieces:
                file.write(piece)

    def _complete(self, part: Path, pieces: Sequence[bytes], target: Path) -> None:
        self._append(part, pieces)
        part.rename(target)


def _read(path: str, max_bytes: int, room: int) -> bytes | None:
    """None for a file with more than `room` bytes; raises NotFound, or TooLarge beyond `max_bytes`.

    By the system's calls: for a tiny picture, a path object and a file object take three times as long as they do.
    """
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise no_such_blob() from None
    try:
        size = os.fstat(file).st_size
        if size > max_bytes:
            raise TooLarge(f"the image is larger than {max_bytes} bytes", field="image")
        if size > room:
            return None
        data = os.read(file, size)
        while len(data) < size and (more := os.read(file, size - len(data))):
            data += more
        return data
    finally:
        os.close(file)


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _sync_all(paths: Iterable[Path]) -> None:
    for path in paths:
        sync(path)


def _remove(paths: Sequence[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
    for directory in {path.parent for path in paths}:
        with contextlib.suppress(OSError):  # others are in it, or it is gone
            directory.rmdir()


def _remove_manifest(directory: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        (directory / MANIFEST).unlink()
        _sync_all([directory])


def _full() -> Unavailable:
    return Unavailable("the disk for images is full: try again later", retry_after_s=FULL_RETRY_S)


async def _in_thread(work: Callable[[], T]) -> T:
    try:
        return await finished(asyncio.to_thread(work))
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise _full() from error
        raise Unavailable(
            f"the store of images cannot be used: {error.strerror or type(error).__name__}", retry_after_s=AWAY_RETRY_S
        ) from error
