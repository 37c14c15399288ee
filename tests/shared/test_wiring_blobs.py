"""Which store of images the settings ask for."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.shared.blobs.disk import DiskBlobStore
from services.shared.blobs.obstore import ObstoreBlobStore
from services.shared.blobs.settings import BlobSettings
from services.shared.errors import Unavailable
from services.shared.wiring import blob_store


async def test_a_directory_is_filled_up_to_its_reserve(tmp_path: Path) -> None:
    store = blob_store(BlobSettings(tmp_path / "blobs", reserve_bytes=2**62))
    assert isinstance(store, DiskBlobStore)
    with pytest.raises(Unavailable, match="full"):
        await store.check_room(1)


def test_a_bucket_has_a_directory_for_what_is_on_its_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    store = blob_store(BlobSettings(tmp_path / "blobs", bucket="images"))
    assert isinstance(store, ObstoreBlobStore)
    assert (tmp_path / "blobs").is_dir()
