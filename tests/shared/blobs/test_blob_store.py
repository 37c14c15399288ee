"""The contract of BlobStore, over every implementation."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from services.shared.blobs.base import BlobStore
from services.shared.errors import NotFound, TooLarge

BIG = 2**40
NOT_BLOB_IDS = [
    "",
    "job",
    "job/",
    "job/../job/00000000000000000000000000000000",
    "../00000000000000000000000000000000",
    "/etc/passwd",
    "job/0000000000000000000000000000000",
    "job/0000000000000000000000000000000G",
    "job/00000000000000000000000000000000\n",
    ".hidden/00000000000000000000000000000000",
    "a/b/00000000000000000000000000000000",
    "jöb/00000000000000000000000000000000",
]


async def stream(*pieces: bytes, failure: BaseException | None = None) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece
    if failure is not None:
        raise failure


@pytest.mark.parametrize("content", [b"", b"\0", b"some bytes" * 1000], ids=len)
async def test_what_is_put_is_got(store: BlobStore, content: bytes) -> None:
    blob_id = await store.put("job-1", content)
    assert await store.get(blob_id, max_bytes=len(content)) == content


async def test_a_stream_is_put_whole(store: BlobStore) -> None:
    pieces = [bytes([index % 256]) * 1_500_000 for index in range(12)]  # 18 MB: several parts, files or writes
    blob_id = await store.put("job", stream(*pieces))
    assert await store.get(blob_id, max_bytes=BIG) == b"".join(pieces)


async def test_ids_are_new_each_time_and_begin_with_their_job(store: BlobStore) -> None:
    ids = [await store.put("job_A-1", b"the same") for _ in range(20)]
    assert len(set(ids)) == 20
    assert all(blob_id.startswith("job_A-1/") and len(blob_id) == len("job_A-1/") + 32 for blob_id in ids)


async def test_more_than_the_reader_takes_is_refused(store: BlobStore) -> None:
    blob_id = await store.put("job", b"12345")
    with pytest.raises(TooLarge, match="larger than 4 bytes"):
        await store.get(blob_id, max_bytes=4)


@pytest.mark.parametrize("blob_id", NOT_BLOB_IDS)
async def test_a_text_that_is_no_blob_id_is_not_found(store: BlobStore, blob_id: str) -> None:
    with pytest.raises(NotFound):
        await store.get(blob_id, max_bytes=BIG)
    with pytest.raises(NotFound):
        await store.delete([blob_id])


@pytest.mark.parametrize("job_id", ["", "..", "a/b", "a" * 65, ".x", "a\n", "-x"])
async def test_a_job_id_that_leads_elsewhere_is_a_mistake_of_ours(store: BlobStore, job_id: str) -> None:
    for call in (store.put(job_id, b"x"), store.purge(job_id), store.settle(job_id)):
        with pytest.raises(ValueError, match="not a job id"):
            await call


async def test_some_blobs_are_read_in_order_as_far_as_memory_allows(store: BlobStore) -> None:
    sizes = (10, 20, 30, 500, 40)
    ids = [await store.put("job", b"%03d" % size + b"." * (size - 3)) for size in sizes]
    gone = ids[0][:-4] + "0123"

    async def read(asked: list[str], total_bytes: int) -> list[int | str]:
        found = await store.get_some(asked, max_bytes=100, total_bytes=total_bytes)
        return [int(each[:3]) if isinstance(each, bytes) else type(each).__name__ for each in found]

    assert await read(ids, 1000) == [10, 20, 30, "TooLarge", 40]
    assert await read(ids, 60) == [10, 20, 30, "TooLarge"]
    assert await read(ids, 59) == [10, 20]
    assert await read(ids, 0) == [10]
    assert await read([gone, "no id", *ids], 30) == ["NotFound", "NotFound", 10, 20]
    assert await read([], 30) == []


async def test_what_is_deleted_is_gone_and_may_be_deleted_again(store: BlobStore) -> None:
    first, second = await store.put("job", b"1"), await store.put("job", b"2")
    await store.delete([first])
    await store.delete([first])
    await store.delete([])
    with pytest.raises(NotFound):
        await store.get(first, max_bytes=BIG)
    assert await store.get(second, max_bytes=BIG) == b"2"


async def test_a_purge_takes_all_of_one_job_and_nothing_of_another(store: BlobStore) -> None:
    mine = [await store.put("job", bytes([index])) for index in range(7)]
    other = await store.put("job2", b"other")
    await store.purge("job")
    await store.purge("job")
    for blob_id in mine:
        with pytest.raises(NotFound):
            await store.get(blob_id, max_bytes=BIG)
    assert await store.get(other, max_bytes=BIG) == b"other"


async def test_a_stream_that_breaks_leaves_nothing(store: BlobStore) -> None:
    for size in (10, 20_000_000):
        with pytest.raises(KeyError, match="cut"):
            await store.put("job", stream(bytes(size), failure=KeyError("cut")))
    assert await store.jobs() == ()


async def test_a_cancelled_put_leaves_nothing_once_it_is_purged(store: BlobStore) -> None:
    never = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield bytes(10_000_000)
        await never.wait()

    for content in (slow(), bytes(3_000_000)):
        task = asyncio.create_task(store.put("job", content))
        for _ in range(5):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled() or task.result()
        await store.purge("job")
        assert await store.jobs() == ()


async def test_settle_is_for_any_job(store: BlobStore) -> None:
    blob_ids = [await store.put("job", bytes([index])) for index in range(20)]
    await store.settle("job")
    await store.settle("job-without-blobs")
    assert [await store.get(blob_id, max_bytes=1) for blob_id in blob_ids] == [bytes([index]) for index in range(20)]


async def test_jobs_tells_which_jobs_have_blobs_and_since_when(store: BlobStore) -> None:
    assert await store.jobs() == ()
    before = time.time()
    for _ in range(4):
        await store.put("one", b"x")
    await store.put("two", b"y")
    jobs = await store.jobs()
    assert [job.job_id for job in jobs] == ["one", "two"]
    assert all(before - 2 <= job.changed_at <= time.time() + 2 for job in jobs)  # S3 counts whole seconds
    await store.purge("one")
    assert [job.job_id for job in await store.jobs()] == ["two"]


async def test_many_puts_at_once_keep_apart(store: BlobStore) -> None:
    contents = [bytes([index]) * (index * 1000 + 1) for index in range(30)]
    blob_ids = await asyncio.gather(*(store.put("job", content) for content in contents))
    assert [await store.get(blob_id, max_bytes=BIG) for blob_id in blob_ids] == contents


async def test_there_is_room_for_a_little(store: BlobStore) -> None:
    await store.check_room(1000)
