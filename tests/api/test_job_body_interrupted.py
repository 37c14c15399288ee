"""Bodies that do not come to their end, stores that fail, and how much memory and disk is held meanwhile."""

from __future__ import annotations

import asyncio
import os
import tracemalloc
from collections.abc import AsyncIterable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.types import Message

from services.api.job_body import JobIntake, read_job_body
from services.api.job_limits import JobLimits
from services.shared.asgi import BodyLimits, ClientGone
from services.shared.blobs.disk import DiskBlobStore
from services.shared.blobs.memory import MemoryBlobStore
from services.shared.errors import BodyTimeout, ServingError, Unavailable
from tests.support.asgi_calls import part
from tests.support.job_bodies import FORM_TYPE, form, images, job_scope, left_after, messages, split, whole
from tests.support.polling import until
from tests.support.zip_files import usual_zip

LIMITS = JobLimits(body=BodyLimits(10**8, 60, 60), max_items=100, max_total_bytes=10**8)
CONTENTS = [bytes([index]) * 200_000 for index in range(1, 6)] + [bytes(1_500_000)]
FORM = images(*CONTENTS)
ZIP = usual_zip({f"{index}.png": content for index, content in enumerate(CONTENTS)}, 0)
BODIES = [(FORM_TYPE, FORM), (b"application/zip", ZIP), (FORM_TYPE, form(("archive", "x", ZIP)))]
NAMES = ["form", "zip", "archive"]


def intake_of(store: MemoryBlobStore | DiskBlobStore, spool_dir: Path, limits: JobLimits = LIMITS) -> JobIntake:
    return JobIntake(store, limits, lambda url: None, spool_dir)


@pytest.mark.parametrize(("content_type", "body"), BODIES, ids=NAMES)
@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 0.99])
async def test_a_client_that_leaves_in_the_middle_leaves_nothing(
    tmp_path: Path, content_type: bytes, body: bytes, share: float
) -> None:
    store = DiskBlobStore(tmp_path / "blobs", reserve_bytes=0)
    receive = left_after(split(body[: int(share * len(body))], 70_000))
    with pytest.raises(ClientGone):
        await read_job_body(job_scope(content_type), receive, intake_of(store, tmp_path), job_id="job", model="m")
    assert await store.jobs() == ()
    assert [name for name in os.listdir(tmp_path) if name != "blobs"] == []


@pytest.mark.parametrize(("content_type", "body"), BODIES, ids=NAMES)
async def test_a_cancelled_request_leaves_nothing(tmp_path: Path, content_type: bytes, body: bytes) -> None:
    store = DiskBlobStore(tmp_path / "blobs", reserve_bytes=0)
    sent = iter(messages(split(body[:-100], 70_000)))
    waiting = asyncio.Event()

    async def receive() -> Message:
        message = next(sent, None)
        if message is None:
            waiting.set()
            await asyncio.Event().wait()
            raise AssertionError
        return message

    reading = read_job_body(job_scope(content_type), receive, intake_of(store, tmp_path), job_id="job", model="m")
    task = asyncio.create_task(reading)
    await until(waiting.is_set)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await store.jobs() == ()


@pytest.mark.parametrize(("content_type", "body"), BODIES, ids=NAMES)
async def test_a_body_that_stops_coming_times_out_and_leaves_nothing(
    tmp_path: Path, content_type: bytes, body: bytes
) -> None:
    store = DiskBlobStore(tmp_path / "blobs", reserve_bytes=0)
    sent = iter(messages(split(body[:-100], 70_000)))

    async def receive() -> Message:
        message = next(sent, None)
        if message is None:
            await asyncio.Event().wait()
            raise AssertionError
        return message

    limits = JobLimits(body=BodyLimits(10**8, timeout_s=60, idle_s=0.1))
    with pytest.raises(BodyTimeout):
        await read_job_body(
            job_scope(content_type), receive, intake_of(store, tmp_path, limits), job_id="job", model="m"
        )
    assert await store.jobs() == ()


class FailingStore(MemoryBlobStore):
    """Refuses the put of that number, counted from 0."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self._left = number

    async def put(self, job_id: str, content: bytes | AsyncIterable[bytes]) -> str:
        self._left -= 1
        if self._left < 0:
            await asyncio.sleep(0)
            raise Unavailable("the store is away", retry_after_s=5)
        return await super().put(job_id, content)


@pytest.mark.parametrize(("content_type", "body"), BODIES, ids=NAMES)
@pytest.mark.parametrize("number", range(len(CONTENTS)))
async def test_a_store_that_fails_ends_the_reading_and_leaves_nothing(
    tmp_path: Path, content_type: bytes, body: bytes, number: int
) -> None:
    store = FailingStore(number)
    with pytest.raises(Unavailable, match="the store is away"):
        await read_job_body(job_scope(content_type), whole(body), intake_of(store, tmp_path), job_id="job", model="m")
    assert await store.jobs() == ()


@pytest.mark.parametrize("kind", ["form", "zip"])
async def test_memory_does_not_grow_with_the_body(tmp_path: Path, kind: str) -> None:
    store = DiskBlobStore(tmp_path / "blobs", reserve_bytes=0)
    picture, count = bytes(range(256)) * 2000, 60  # 30 MB together
    body = images(*[picture] * count) if kind == "form" else usual_zip([(f"{i}", picture) for i in range(count)], 0)
    view, at = memoryview(body), 0

    async def receive() -> Message:
        nonlocal at
        at += 65_536
        return part(bytes(view[at - 65_536 : at]), more=at < len(body))

    content_type = FORM_TYPE if kind == "form" else b"application/zip"
    tracemalloc.start()
    try:
        job = await read_job_body(job_scope(content_type), receive, intake_of(store, tmp_path), job_id="job", model="m")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(job.items) == count
    # Eight images on their way to the disk, each twice (in pieces, and joined), one that comes in, one being written.
    assert peak < 10 * 2 * len(picture) + 4 * 2**20


@given(st.sampled_from([0, 1, 2]), st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_a_damaged_body_is_read_or_refused_and_a_refusal_leaves_nothing(
    tmp_path: Path, which: int, data: st.DataObject
) -> None:
    small = [bytes([index]) * 100 for index in range(1, 4)]
    packed = usual_zip({f"{index}.png": content for index, content in enumerate(small)})
    content_type, body = (
        (FORM_TYPE, images(*small)),
        (b"application/zip", packed),
        (FORM_TYPE, form(("archive", "x", packed))),
    )[which]
    changed = bytearray(body)
    for _ in range(data.draw(st.integers(0, 3))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    end = data.draw(st.integers(0, len(changed)))
    receive = whole(bytes(changed[:end]), data.draw(st.integers(1, 500)))
    store = MemoryBlobStore()
    try:
        job = await read_job_body(job_scope(content_type), receive, intake_of(store, tmp_path), job_id="job", model="m")
    except ServingError:
        assert await store.jobs() == ()
    else:
        assert 1 <= len(job.items) <= 3
        assert len([await store.get(blob_id, max_bytes=10**6) for blob_id in job.blob_ids]) == len(job.items)
