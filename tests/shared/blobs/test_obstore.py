"""What only a bucket has: requests, credentials, and being away."""

from __future__ import annotations

import os
import traceback
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.shared.blobs.obstore import Bucket, ObstoreBlobStore
from services.shared.errors import Unavailable
from tests.support.s3_server import ACCESS_KEY, BUCKET, SECRET_KEY, S3State


@pytest.fixture
def store(s3: S3State, tmp_path: Path) -> ObstoreBlobStore:
    return ObstoreBlobStore(Bucket(BUCKET, "pre"), spool_dir=tmp_path)


async def zeros(count: int, then: Exception | None = None) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield bytes(2**20)
    if then is not None:
        raise then


async def test_a_usual_image_is_one_signed_request_under_the_prefix(store: ObstoreBlobStore, s3: S3State) -> None:
    blob_id = await store.put("job", b"bytes")
    assert s3.asked == [("PUT", f"/{BUCKET}/pre/{blob_id}")]
    assert s3.unsigned == 0


async def test_a_large_one_goes_in_parts_and_none_are_left(
    store: ObstoreBlobStore, s3: S3State, tmp_path: Path
) -> None:
    await store.put("job", zeros(20))
    assert [command for command, _ in s3.asked].count("PUT") == 4
    assert s3.uploads == {}
    with pytest.raises(KeyError):
        await store.put("job", zeros(20, KeyError("cut")))
    assert s3.uploads == {}
    assert len(s3.objects) == 1
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("status", [403, 500])
async def test_a_bucket_that_refuses_is_unavailable_and_its_answer_is_not_repeated(
    store: ObstoreBlobStore, s3: S3State, status: int
) -> None:
    kept = await store.put("job", b"bytes")
    s3.refusal = (status, f"<Error><Code>X</Code><AWSAccessKeyId>{ACCESS_KEY}</AWSAccessKeyId></Error>".encode())
    for call in (
        store.put("job", b"x"),
        store.get(kept, max_bytes=10),
        store.delete([kept]),
        store.purge("job"),
        store.jobs(),
    ):
        with pytest.raises(Unavailable, match="store of images cannot be used") as failure:
            await call
        assert failure.value.retry_after_s
        text = "".join(traceback.format_exception(failure.value))
        assert ACCESS_KEY not in text
        assert SECRET_KEY not in text


async def test_a_bucket_that_is_not_there_is_unavailable(s3: S3State, tmp_path: Path) -> None:
    store = ObstoreBlobStore(Bucket("another-bucket"), spool_dir=tmp_path)
    with pytest.raises(Unavailable):
        await store.put("job", b"x")


async def test_no_credential_is_shown(store: ObstoreBlobStore) -> None:
    assert SECRET_KEY not in repr(vars(store))
    assert ACCESS_KEY not in repr(vars(store))
