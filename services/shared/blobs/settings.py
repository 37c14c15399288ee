"""Where blobs are kept, from variables `GRAYSCALE_…`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from services.shared.settings import SettingsError, Variables

RESERVE_BYTES = 2**30  # for logs, the job store's own files and the rest of the machine
_VARIABLE = "GRAYSCALE_BLOBS_URL"
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")  # S3 user guide, "Bucket naming rules"
_PREFIX = re.compile(r"[A-Za-z0-9_.-]+(?:/[A-Za-z0-9_.-]+)*")


@dataclass(frozen=True, slots=True)
class BlobSettings:
    """A bucket with a prefix (may be empty) where `bucket` is set, else a directory. `reserve_bytes` of its disk stay
    free."""

    directory: Path
    bucket: str = ""
    prefix: str = ""
    reserve_bytes: int = RESERVE_BYTES


def blob_settings(variables: Variables, data_dir: Path) -> BlobSettings:
    """`GRAYSCALE_BLOBS_URL` is `s3://bucket/prefix` or `file:///directory`; `<data dir>/blobs` without it.

    Raises SettingsError, which never repeats the value: a URL with a password in it would be in the log.
    """
    reserve_bytes = variables.integer("GRAYSCALE_BLOBS_RESERVE_BYTES", RESERVE_BYTES, maximum=2**62)
    url = variables.text(_VARIABLE, "")
    if not url:
        return BlobSettings(data_dir / "blobs", reserve_bytes=reserve_bytes)
    scheme, _, rest = url.partition("://")
    if scheme == "file" and rest.startswith("/"):
        return BlobSettings(Path(rest).resolve(), reserve_bytes=reserve_bytes)
    bucket, _, prefix = rest.partition("/")
    prefix = prefix.strip("/")
    usable = _BUCKET.fullmatch(bucket) and (not prefix or _PREFIX.fullmatch(prefix)) and ".." not in prefix
    if scheme != "s3" or not usable:
        raise SettingsError(
            f"{_VARIABLE} cannot be used: write s3://bucket/prefix (the key comes from AWS_ACCESS_KEY_ID and its kin, "
            "never from the URL) or file:///directory"
        )
    return BlobSettings(data_dir / "blobs", bucket, prefix, reserve_bytes)
