"""Copies a model repository from a bucket to a directory; run in pods that run models.

    python sync_models.py s3://bucket/prefix DIRECTORY [SECONDS]

Without SECONDS once; with them again and again. Key, region and endpoint come from the AWS_* variables.

A version appears whole or not at all, and never changes: one that is there is not fetched again. Where a file has its
`.sha256` beside it, a version whose bytes do not fit is left out and tried again the next time (its upload may not have
ended). Nothing is ever removed: what is served may be in use. config.pbtxt and the label files are kept equal.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_URL = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/(.*?))?/?")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_VERSION = re.compile(r"[1-9][0-9]*")
_PART_BYTES = 8 * 2**20


@dataclass
class Model:
    """Keys by where they belong: files of the model itself, and those of each version."""

    files: dict[str, str] = field(default_factory=dict)
    versions: dict[str, dict[str, str]] = field(default_factory=dict)


def sort_keys(keys: Iterable[str]) -> dict[str, Model]:
    """What a listing says, by model. Keys that are no part of a repository are left out."""
    models: dict[str, Model] = {}
    for key in keys:
        parts = key.split("/")
        if len(parts) < 2 or not all(_NAME.fullmatch(part) for part in parts):
            continue
        model = models.setdefault(parts[0], Model())
        if len(parts) == 2:
            model.files[parts[1]] = key
        elif _VERSION.fullmatch(parts[1]):
            model.versions.setdefault(parts[1], {})["/".join(parts[2:])] = key
    return models


def wrong_file(directory: Path) -> str | None:
    """The first file that does not have the SHA-256 recorded beside it."""
    for record in sorted(directory.rglob("*.sha256")):
        path = record.with_suffix("")
        words = record.read_text().split()
        if not path.is_file() or not words:
            return path.name
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != words[0].lower():
                return path.name
    return None


def sync(store: Any, target: Path) -> list[str]:
    """One pass; what was fetched, as `model` and `model/version`. `store` is an obstore store."""
    import obstore

    keys = [entry["path"] for page in obstore.list(store) for entry in page]
    fetched = []
    for name, model in sorted(sort_keys(keys).items()):
        if "config.pbtxt" not in model.files:
            continue
        (target / name).mkdir(exist_ok=True)
        if _fetch_files(store, model.files, target / name):
            fetched.append(name)
        for version, files in sorted(model.versions.items()):
            if not (target / name / version).exists() and _fetch_version(store, files, target / name / version):
                fetched.append(f"{name}/{version}")
    return fetched


def _fetch_files(store: Any, files: Mapping[str, str], directory: Path) -> bool:
    import obstore

    changed = False
    for filename, key in files.items():
        content = bytes(obstore.get(store, key).bytes())
        path = directory / filename
        if not path.exists() or path.read_bytes() != content:
            unfinished = path.with_name(f".{filename}")
            unfinished.write_bytes(content)
            unfinished.replace(path)
            changed = True
    return changed


def _fetch_version(store: Any, files: Mapping[str, str], target: Path) -> bool:
    """False when its bytes are not what they should be."""
    import obstore

    # Beside the models, on the same file system; with a dot, so that nobody reads it.
    building = Path(tempfile.mkdtemp(prefix=".fetching-", dir=target.parent.parent))
    try:
        staged = building / target.name
        for filename, key in files.items():
            path = staged / filename
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as file:
                for part in obstore.get(store, key).stream(min_chunk_size=_PART_BYTES):
                    file.write(part)
        wrong = wrong_file(staged)
        if wrong is not None:
            _say(f"{target.parent.name}/{target.name} is left out: {wrong} is not what its .sha256 records")
            return False
        staged.rename(target)
        return True
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - a container's log


def main(arguments: list[str]) -> int:
    """The exit status: 0, 1 when the bucket cannot be read or holds no model, 2 for what cannot be meant."""
    found = _URL.fullmatch(arguments[0]) if len(arguments) in (2, 3) else None
    if found is None:
        _say("usage: sync_models.py s3://bucket/prefix DIRECTORY [SECONDS]")
        return 2
    from obstore.exceptions import BaseError
    from obstore.store import S3Store

    store, target = S3Store(found[1], prefix=found[2] or None), Path(arguments[1])
    seconds = float(arguments[2]) if len(arguments) == 3 else None
    while True:
        if seconds is not None:
            time.sleep(seconds)
        try:
            for name in sync(store, target):
                _say(f"{name} is there")
        except (BaseError, OSError) as error:
            reason = str(error).partition("\n")[0]  # what follows are the client's settings
            _say(f"the models cannot be copied: {type(error).__name__}: {reason}")
            if seconds is None:
                return 1
        if seconds is None:
            break
    if not any(path.is_dir() and not path.name.startswith(".") for path in target.iterdir()):
        _say(f"{arguments[0]} holds no model: a directory with config.pbtxt for each is needed")
        return 1
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # the first process of a container ignores it otherwise
    sys.exit(main(sys.argv[1:]))
