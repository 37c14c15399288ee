from __future__ import annotations

from pathlib import Path

import pytest

from services.shared.blobs.settings import RESERVE_BYTES, BlobSettings, blob_settings
from services.shared.settings import SettingsError, Variables

DATA = Path("/data")
LOCAL = Path("/data/blobs")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("", BlobSettings(LOCAL)),
        ("file:///var/images", BlobSettings(Path("/var/images"))),
        ("s3://bucket", BlobSettings(LOCAL, "bucket")),
        ("s3://bucket/", BlobSettings(LOCAL, "bucket")),
        ("s3://my-bucket.x/some/prefix/", BlobSettings(LOCAL, "my-bucket.x", "some/prefix")),
    ],
)
def test_the_url_says_where_blobs_are(url: str, expected: BlobSettings) -> None:
    assert blob_settings(Variables({"GRAYSCALE_BLOBS_URL": url}), DATA) == expected


@pytest.mark.parametrize(
    "url",
    [
        "s3://",
        "s3://B",
        "s3://key:hunter2@bucket/x",
        "s3://bucket/a b",
        "s3://bucket/a/../b",
        "s3://bucket//x//y",
        "gs://bucket",
        "file://relative",
        "/var/images",
        "s3://bucket/x?endpoint=hunter2",
    ],
)
def test_another_url_is_refused_without_being_repeated(url: str) -> None:
    with pytest.raises(SettingsError, match="GRAYSCALE_BLOBS_URL cannot be used: write s3://bucket/prefix") as failure:
        blob_settings(Variables({"GRAYSCALE_BLOBS_URL": url}), DATA)
    assert "hunter2" not in str(failure.value)


def test_the_reserve_can_be_set() -> None:
    assert blob_settings(Variables({}), DATA).reserve_bytes == RESERVE_BYTES
    assert blob_settings(Variables({"GRAYSCALE_BLOBS_RESERVE_BYTES": "5"}), DATA).reserve_bytes == 5
