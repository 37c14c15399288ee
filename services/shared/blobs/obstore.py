"""Blobs in a bucket that speaks S3's protocol."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterable, Awaitable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING, TypeVar

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

if TYPE_CHECKING:
    from obstore import GetResult

from services.shared.blobs.base import (
    AWAY_RETRY_S,
    MANIFEST,
    StagedJob,
    check_blob_id,
    check_job_id,
    new_blob_id,
    no_such_blob,
    pieces_of,
)
from services.shared.blobs.uninterrupted import finished
from services.shared.errors import NotFound, TooLarge, Unavailable

T = TypeVar("T")

_ONE_REQUEST_BYTES = 8 * 2**20  # beyond it an upload goes in parts, and waits in a file rather than in memory
_RETRY_S = timedelta(seconds=20)
_READ_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Bucket:
    """`prefix` without slashes at its ends. Key, region and endpoint come from the AWS_* variables, as obstore reads
    them (AWS_ENDPOINT_URL_S3 and AWS_ALLOW_HTTP for a server of one's own); nothing here holds or repeats them."""

    name: str
    prefix: str = ""


class ObstoreBlobStore:
    """A BlobStore in a bucket, which must exist. `settle` has nothing to do: S3 answers when the bytes are safe.

    `spool_dir` takes what is too large for memory while it comes in; nothing is left there. The bucket needs a
    lifecycle rule for incomplete multipart uploads: those of a process that was killed stay there, unlisted.
    """

    def __init__(self, bucket: Bucket, *, spool_dir: Path) -> None:
        # No client_options: with any, AWS_ALLOW_HTTP and its kin are not read. A request may take 30 s by default.
        self._store = S3Store(
            bucket.name,
            prefix=bucket.prefix or None,
            retry_config={"max_retries": 3, "retry_timeout": _RETRY_S},
        )
        self._spool_dir = spool_dir

    async def put(self, job_id: str, content: bytes | AsyncIterable[bytes]) -> str:
        blob_id = new_blob_id(job_id)
        pieces: list[bytes] = []
        size = 0
        with contextlib.ExitStack() as held:
            spool: IO[bytes] | None = None
            async for piece in pieces_of(content):
                pieces.append(piece)
                size += len(piece)
                if size >= _ONE_REQUEST_BYTES:
                    if spool is None:
                        spool = held.enter_context(self._new_spool())
                    await _answered(asyncio.to_thread(spool.writelines, pieces))
                    pieces, size = [], 0
            if spool is None:
                await _answered(obstore.put_async(self._store, blob_id, b"".join(pieces), use_multipart=False))
            else:
                await _answered(asyncio.to_thread(spool.writelines, pieces))
                spool.seek(0)
                await _answered(obstore.put_async(self._store, blob_id, spool))
        return blob_id

    def _new_spool(self) -> IO[bytes]:
        """Not in a thread: a caller that is cancelled meanwhile would not get it, and could not close it."""
        try:
            return tempfile.TemporaryFile(dir=self._spool_dir)
        except OSError as error:
            raise _away(error) from error

    async def settle(self, job_id: str) -> None:
        check_job_id(job_id)

    async def get(self, blob_id: str, *, max_bytes: int) -> bytes:
        async def read() -> bytes:
            return bytes(await (await self._begin(blob_id, max_bytes)).bytes_async())

        return await _answered(read())

    async def _begin(self, blob_id: str, max_bytes: int) -> GetResult:
        """Raises NotFound and TooLarge."""
        try:
            result = await obstore.get_async(self._store, check_blob_id(blob_id))
        except FileNotFoundError:
            raise no_such_blob() from None
        if result.meta["size"] > max_bytes:
            raise TooLarge(f"the image is larger than {max_bytes} bytes", field="image")
        return result

    async def get_some(
        self, blob_ids: Sequence[str], *, max_bytes: int, total_bytes: int
    ) -> tuple[bytes | NotFound | TooLarge, ...]:
        async def read() -> tuple[bytes | NotFound | TooLarge, ...]:
            begun = await asyncio.gather(
                *(self._begin(blob_id, max_bytes) for blob_id in blob_ids[:_READ_AT_ONCE]), return_exceptions=True
            )
            some: list[GetResult | NotFound | TooLarge] = []
            room = total_bytes
            for each in begun:  # only its beginning is here yet: what is not read on costs no memory
                if isinstance(each, BaseException) and not isinstance(each, NotFound | TooLarge):
                    raise each
                size = 0 if isinstance(each, BaseException) else each.meta["size"]
                if some and size > room:
                    break
                room -= size
                some.append(each)
            return tuple(await asyncio.gather(*map(_read_on, some)))

        return await _answered(read())

    async def delete(self, blob_ids: Iterable[str]) -> None:
        ids = [check_blob_id(blob_id) for blob_id in blob_ids]
        if ids:
            await _answered(obstore.delete_async(self._store, ids))

    async def purge(self, job_id: str) -> None:
        prefix = check_job_id(job_id) + "/"
        await self.delete_manifest(job_id)

        async def remove() -> None:
            async for batch in obstore.list(self._store, prefix):
                await obstore.delete_async(self._store, [meta["path"] for meta in batch])

        await _answered(remove())

    async def put_manifest(self, job_id: str, content: bytes) -> None:
        path = f"{check_job_id(job_id)}/{MANIFEST}"
        await _answered(obstore.put_async(self._store, path, content, use_multipart=False))

    async def manifest(self, job_id: str) -> bytes | None:
        path = f"{check_job_id(job_id)}/{MANIFEST}"

        async def read() -> bytes | None:
            try:
                result = await obstore.get_async(self._store, path)
            except FileNotFoundError:
                return None
            return bytes(await result.bytes_async())

        return await _answered(read())

    async def delete_manifest(self, job_id: str) -> None:
        await _answered(obstore.delete_async(self._store, [f"{check_job_id(job_id)}/{MANIFEST}"]))

    async def check_room(self, size_bytes: int) -> None:
        """A bucket has room."""

    async def jobs(self) -> tuple[StagedJob, ...]:
        async def read() -> dict[str, float]:
            newest: dict[str, float] = {}
            async for batch in obstore.list(self._store):
                for meta in batch:
                    job_id, slash, _ = meta["path"].partition("/")
                    if slash:
                        newest[job_id] = max(newest.get(job_id, 0.0), meta["last_modified"].timestamp())
            return newest

        return tuple(StagedJob(job_id, at) for job_id, at in sorted((await _answered(read())).items()))


async def _read_on(begun: GetResult | NotFound | TooLarge) -> bytes | NotFound | TooLarge:
    return begun if isinstance(begun, NotFound | TooLarge) else bytes(await begun.bytes_async())


async def _answered(work: Awaitable[T]) -> T:
    """Raises Unavailable for every failure. obstore's messages repeat what the server answered, which may name the
    access key, so they go nowhere: not even to a traceback, by way of `from`."""
    try:
        return await finished(work)
    except (BaseError, OSError, ValueError) as error:
        unavailable = _away(error)
    raise unavailable


def _away(error: Exception) -> Unavailable:
    return Unavailable(f"the store of images cannot be used: {type(error).__name__}", retry_after_s=AWAY_RETRY_S)
