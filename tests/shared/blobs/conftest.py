"""Every kind of blob store, empty."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from services.shared.blobs.base import BlobStore
from services.shared.blobs.disk import DiskBlobStore
from services.shared.blobs.memory import MemoryBlobStore
from services.shared.blobs.obstore import Bucket, ObstoreBlobStore
from tests.support.s3_server import BUCKET, S3State, s3_server


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3State]:
    with s3_server(monkeypatch) as state:
        yield state


@pytest.fixture(params=["memory", "disk", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> BlobStore:
    if request.param == "memory":
        return MemoryBlobStore()
    if request.param == "disk":
        return DiskBlobStore(tmp_path / "data" / "blobs", reserve_bytes=0)
    request.getfixturevalue("s3")
    return ObstoreBlobStore(Bucket(BUCKET, "some/prefix"), spool_dir=tmp_path)
