"""Puts a backup back: all of it is read and checked before anything that is there is touched."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from services.cli.backup.contents import data_files
from services.cli.backup.inventory import BLOBS, REDIS, BackupError, Inventory
from services.cli.backup.places import Places, embedded_answers, embedded_keys
from services.cli.backup.reader import Tell, read_archive
from services.cli.backup.staging import Destination, Staging, occupied, refuse
from services.shared.embedded_valkey import idle_valkey_home
from services.shared.fleet.base import FleetStore
from services.shared.fleet.live import live


@dataclass(frozen=True, slots=True)
class Restored:
    """`redis_keys`: what the embedded server had when it was started on its data; None where that was not done.
    `not_restored` says what of the backup still has to be put back, and how."""

    inventory: Inventory
    redis_keys: int | None = None
    not_restored: tuple[str, ...] = ()


def check_archive(source: BinaryIO, tell: Tell) -> Inventory:
    """Reads all of it and writes nothing. Raises BackupError."""
    return read_archive(source, lambda path: None, tell)


def put_back(
    source: BinaryIO, places: Places, fleet: FleetStore, redis_dir: Path | None, *, force: bool, tell: Tell
) -> Restored:
    """`redis_dir` is the directory of a server that has ended; None: the embedded one's, or none where `places` names a
    server. Raises BackupError, SettingsError or OSError; until all was read and found right, nothing was changed."""
    embedded = places.redis is None and redis_dir is None
    destination = Destination(
        data_dir=places.data_dir,
        blobs=None if places.blobs.bucket else places.blobs.directory,
        models=places.models,
        redis=places.data_dir / "valkey" if embedded else redis_dir,
    )
    _refuse_while_served(fleet)
    with contextlib.ExitStack() as stack:
        if embedded:
            stack.enter_context(idle_valkey_home(places.data_dir))
            if embedded_answers(places.data_dir):
                raise BackupError(f"a server runs in {places.data_dir}: stop it first")
        if not force:
            refuse("there is state already", occupied(destination, dict(data_files(places.data_dir))))
        staging = Staging(destination, stack)
        inventory = read_archive(source, staging.target, tell)
        if not force:
            refuse("there are other models already", tuple(staging.other_models()))
        staging.put_in_place()
    has = {member.path.partition("/")[0] for member in inventory.members}
    keys = embedded_keys(places.data_dir) if embedded and REDIS in has else None
    return Restored(inventory, keys, _not_restored(has, destination))


def _refuse_while_served(fleet: FleetStore) -> None:
    if living := live(asyncio.run(fleet.heartbeats()), time.time()):
        named = ", ".join(sorted(beat.process_id for beat in living)[:3])
        raise BackupError(f"processes are running on this data directory ({named}): stop all of them first")


def _not_restored(has: set[str], destination: Destination) -> tuple[str, ...]:
    said = []
    if REDIS in has and destination.redis is None:
        said.append(
            "redis: it is put back into the directory of its server: --redis-dir, or as docs/operations.md says"
        )
    if BLOBS in has and destination.blobs is None:
        said.append("blobs: images of jobs are kept in a bucket now: upload what is below blobs/ to it")
    if "models" in has and destination.models is None:
        said.append("models: the repository was not asked for")
    return tuple(said)
