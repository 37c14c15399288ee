"""What a backup says that it holds: the last member of its archive, so that one that was cut off has none. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import asdict, dataclass

import orjson

INVENTORY = "backup.json"
DATA, BLOBS, MODELS, REDIS = "data", "blobs", "models", "redis"
PARTS = (REDIS, DATA, BLOBS, MODELS)

# What a server that keeps an append-only file in several parts starts from, and how that is said to it ("Redis
# persistence": a base file, which may be an RDB file, and a manifest that names it). Valkey, and Redis from version 7.
APPEND_ONLY = "appendonlydir"
SNAPSHOT = f"{REDIS}/{APPEND_ONLY}/appendonly.aof.1.base.rdb"
SNAPSHOT_LIST = f"{REDIS}/{APPEND_ONLY}/appendonly.aof.manifest"
SNAPSHOT_LIST_TEXT = b"file appendonly.aof.1.base.rdb seq 1 type b\n"

_FORMAT = 1
_SHA256 = re.compile(r"[0-9a-f]{64}")


class BackupError(Exception):
    """Why a backup cannot be made or used; the message says what to do where something can be done."""


@dataclass(frozen=True, slots=True)
class Member:
    """A file of the archive: `path` as `check_path` takes it."""

    path: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Inventory:
    """`made_at` in Unix seconds: when the snapshot of the job store was asked for. `left_out` says why what is missing
    is missing."""

    made_at: float
    version: str
    members: tuple[Member, ...]
    left_out: tuple[str, ...] = ()

    @property
    def size_bytes(self) -> int:
        return sum(member.size_bytes for member in self.members)


def inventory_to_json(inventory: Inventory) -> bytes:
    return orjson.dumps({"format": _FORMAT, **asdict(inventory)}, option=orjson.OPT_INDENT_2)


def inventory_from_json(data: bytes) -> Inventory:
    """Fields that are not known here are passed over. Raises BackupError."""
    try:
        document = orjson.loads(data)
        if document["format"] != _FORMAT:
            raise BackupError(f"this backup has the format {document['format']!r}: use the version that made it")
        return Inventory(
            made_at=float(document["made_at"]),
            version=str(document["version"]),
            members=tuple(_member(member) for member in document["members"]),
            left_out=tuple(map(str, document["left_out"])),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BackupError(f"{INVENTORY} of this backup cannot be read: {error!r}") from error


def check_path(path: str) -> str:
    """The path itself; raises BackupError for one that is not below one of PARTS, or that leads out of it."""
    parts = path.split("/")
    if len(parts) < 2 or parts[0] not in PARTS or any(part in ("", ".", "..") or "\0" in part for part in parts):
        raise BackupError(f"this backup has a file {path[:200]!r}, which belongs nowhere: nothing is restored")
    return path


def differences(listed: Collection[Member], found: Collection[Member]) -> tuple[str, ...]:
    """A sentence for each file that is not as the inventory says."""
    there, expected = {member.path: member for member in found}, {member.path: member for member in listed}
    said = [f"{path} is missing" for path in sorted(expected.keys() - there.keys())]
    said += [f"{path} is not in its inventory" for path in sorted(there.keys() - expected.keys())]
    for path in sorted(expected.keys() & there.keys()):
        if there[path] != expected[path]:
            said.append(f"{path} has the SHA-256 {there[path].sha256}, not {expected[path].sha256}")
    return tuple(said)


def _member(document: dict[str, object]) -> Member:
    path, size, sha256 = document["path"], document["size_bytes"], document["sha256"]
    if not (isinstance(path, str) and isinstance(size, int) and isinstance(sha256, str) and _SHA256.fullmatch(sha256)):
        raise ValueError(f"{document!r} is no file")
    return Member(check_path(path), size, sha256)
