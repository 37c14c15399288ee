"""The contract of a job's manifest, over every blob store; and what a directory does against power cuts."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from services.shared.blobs.base import MANIFEST, BlobStore
from services.shared.blobs.disk import DiskBlobStore
from services.shared.blobs.obstore import Bucket, ObstoreBlobStore
from services.shared.errors import NotFound, Unavailable
from tests.support.s3_server import BUCKET, S3State


async def test_a_manifest_is_kept_beside_the_blobs_and_replaced_whole(store: BlobStore) -> None:
    assert await store.manifest("job") is None
    blob_id = await store.put("job", b"bytes")
    await store.put_manifest("job", b"first " * 1000)
    await store.put_manifest("job", b"second")
    assert await store.manifest("job") == b"second"
    assert await store.manifest("job2") is None
    assert await store.get(blob_id, max_bytes=5) == b"bytes"


async def test_a_job_that_only_has_a_manifest_is_listed(store: BlobStore) -> None:
    before = time.time()
    await store.put_manifest("job", b"{}")
    await store.settle("job")
    (staged,) = await store.jobs()
    assert staged.job_id == "job"
    assert before - 2 <= staged.changed_at <= time.time() + 2  # S3 counts whole seconds
    await store.purge("job")
    assert await store.jobs() == ()


async def test_a_deleted_manifest_is_gone_and_may_be_deleted_again(store: BlobStore) -> None:
    blob_id = await store.put("job", b"bytes")
    await store.put_manifest("job", b"{}")
    for _ in range(2):
        await store.delete_manifest("job")
        assert await store.manifest("job") is None
    await store.delete_manifest("a-job-without-anything")
    assert await store.get(blob_id, max_bytes=5) == b"bytes"


async def test_a_purge_takes_the_manifest_too(store: BlobStore) -> None:
    blob_id = await store.put("job", b"bytes")
    await store.put_manifest("job", b"{}")
    await store.put_manifest("job2", b"other")
    await store.purge("job")
    assert await store.manifest("job") is None
    assert await store.manifest("job2") == b"other"
    with pytest.raises(NotFound):
        await store.get(blob_id, max_bytes=5)


@pytest.mark.parametrize("job_id", ["", "..", "a/b", ".x"])
async def test_a_manifest_of_what_is_no_job_id_is_a_mistake_of_ours(store: BlobStore, job_id: str) -> None:
    for call in (store.put_manifest(job_id, b"{}"), store.manifest(job_id), store.delete_manifest(job_id)):
        with pytest.raises(ValueError, match="not a job id"):
            await call


async def test_the_name_of_a_manifest_is_no_blob_id(store: BlobStore) -> None:
    await store.put_manifest("job", b"{}")
    with pytest.raises(NotFound):
        await store.get(f"job/{MANIFEST}", max_bytes=10)


async def test_settle_syncs_the_manifest_and_what_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = DiskBlobStore(tmp_path / "data" / "blobs", reserve_bytes=0)
    await store.put_manifest("job", b"{}")
    synced: set[str] = set()

    def note(handle: int) -> None:
        synced.add(os.readlink(f"/proc/self/fd/{handle}"))

    monkeypatch.setattr(os, "fsync", note)
    await store.settle("job")
    root = (tmp_path / "data" / "blobs").resolve()
    assert synced == {str(path) for path in (root / "job" / MANIFEST, root / "job", root, root.parent)}


async def test_a_disk_that_breaks_leaves_the_manifest_that_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = DiskBlobStore(tmp_path, reserve_bytes=0)
    await store.put_manifest("job", b"first")

    def refuse(handle: int) -> None:
        raise OSError(5, os.strerror(5))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(Unavailable):
        await store.put_manifest("job", b"second")
    assert await store.manifest("job") == b"first"
    assert os.listdir(tmp_path / "job") == [MANIFEST]


async def test_a_directory_forgets_a_manifest_for_good_before_anything_else_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = DiskBlobStore(tmp_path, reserve_bytes=0)
    blob_id = await store.put("job", b"bytes")
    await store.put_manifest("job", b"{}")
    left: list[list[str]] = []
    monkeypatch.setattr(os, "fsync", lambda handle: left.append(os.listdir(f"/proc/self/fd/{handle}")))
    await store.purge("job")
    assert left == [[blob_id.partition("/")[2]]]


async def test_a_bucket_deletes_the_manifest_with_the_first_request_of_a_purge(s3: S3State, tmp_path: Path) -> None:
    store = ObstoreBlobStore(Bucket(BUCKET, "pre"), spool_dir=tmp_path)
    await store.put("job", b"bytes")
    await store.put_manifest("job", b"{}")
    s3.asked.clear()
    await store.delete_manifest("job")
    (alone,) = s3.asked
    await store.put_manifest("job", b"{}")
    s3.asked.clear()
    await store.purge("job")
    assert s3.asked[0] == alone
    assert s3.objects == {}
