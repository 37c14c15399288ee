"""Makes a backup while everything runs.

The job store first, then files: a job's images are on disk before the store knows the job, so what the snapshot has is
among the files. Jobs that come later are among the files, too, and are made again from their manifests (docs/jobs.md).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from services.cli.backup.contents import blob_files, data_files, model_files
from services.cli.backup.inventory import MODELS, SNAPSHOT, SNAPSHOT_LIST, SNAPSHOT_LIST_TEXT, Inventory, Member
from services.cli.backup.places import Places, embedded_server
from services.cli.backup.redis import redis_snapshot
from services.cli.backup.writer import ArchiveWriter
from services.shared.redis_url import RedisAddress
from services.shared.version import VERSION

Tell = Callable[[str, int, int], None]  # what, how much of it is done, of how much
_MIB = 2**20


async def take_backup(out: BinaryIO, places: Places, tell: Tell) -> Inventory:
    """Raises BackupError saying what is wrong, or OSError; what was written then has no inventory."""
    writer, made_at, left_out = ArchiveWriter(out), time.time(), []
    if places.redis is not None:
        await _add_snapshot(writer, places.redis, made_at, tell)
    elif places.has_embedded:
        with embedded_server(places.data_dir) as address:
            await _add_snapshot(writer, address, made_at, tell)
    else:
        left_out.append("redis: there is none (GRAYSCALE_REDIS_URL is not set), and so no jobs and no releases")
    _add_files(writer, "keys and fleet", list(data_files(places.data_dir)), tell)
    if places.blobs.bucket:
        left_out.append(
            "blobs: the images of jobs are in a bucket (GRAYSCALE_BLOBS_URL), which has a backup of its own"
        )
    else:
        _add_files(writer, "images of jobs", list(blob_files(places.blobs.directory)), tell)
    if places.models is None:
        left_out.append("models: the repository was not asked for")
    else:
        _add_files(writer, "models", list(model_files(places.models)), tell)
    inventory = Inventory(made_at, VERSION, tuple(writer.members), tuple(left_out))
    writer.finish(inventory)
    return inventory


def damaged_models(models: Path, members: tuple[Member, ...]) -> Iterator[str]:
    """Those files of the repository whose bytes are not what the digest beside them says: no process loads them."""
    digests = {member.path: member.sha256 for member in members}
    for path, digest in digests.items():
        recorded = models / f"{path.removeprefix(MODELS + '/')}.sha256"
        if path.startswith(MODELS + "/") and f"{path}.sha256" in digests:
            words = recorded.read_text(encoding="utf-8", errors="replace").split()
            if not words or words[0].lower() != digest:
                yield path


async def _add_snapshot(writer: ArchiveWriter, address: RedisAddress, made_at: float, tell: Tell) -> None:
    tell("jobs and releases: waiting for the server", 0, 1)
    async with redis_snapshot(address) as snapshot:
        total = max(1, snapshot.size_bytes // _MIB)
        with writer.member(SNAPSHOT, snapshot.size_bytes, made_at) as member:
            async for piece in snapshot.pieces:
                member.write(piece)
                tell("jobs and releases: MiB", min(total, member.written // _MIB), total)
    writer.add_bytes(SNAPSHOT_LIST, SNAPSHOT_LIST_TEXT, made_at)
    tell("jobs and releases: MiB", total, total)


def _add_files(writer: ArchiveWriter, what: str, files: list[tuple[str, Path]], tell: Tell) -> None:
    for done, (path, file) in enumerate(files, 1):
        writer.add_file(path, file)
        tell(what, done, len(files))
