"""Reads an archive from front to end, so that it may come through a pipe, and believes nothing that it says."""

from __future__ import annotations

import hashlib
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from services.cli.backup.inventory import (
    INVENTORY,
    BackupError,
    Inventory,
    Member,
    check_path,
    differences,
    inventory_from_json,
)
from services.cli.backup.writer import PIECE_BYTES

MAX_INVENTORY_BYTES = 2**30
MOST_SAID = 20
_CUT_OFF = "this backup breaks off: it was cut short, or the copy is not complete"

# Where a file of the archive goes; None: it is read and checked only.
Target = Callable[[str], Path | None]
Tell = Callable[[str, int], None]


def read_archive(source: BinaryIO, target: Target, tell: Tell) -> Inventory:
    """Writes every file where `target` says (whose directories are made), and gives the inventory, which they agree
    with. `tell` hears of each file and its bytes. Raises BackupError saying what is wrong, or OSError."""
    found: list[Member] = []
    inventory: Inventory | None = None
    try:
        with tarfile.open(fileobj=source, mode="r|") as archive:
            for header in archive:
                inventory = _read_member(archive, header, target, found, inventory)
                tell(header.name, header.size)
    except tarfile.ReadError as error:
        raise BackupError(_CUT_OFF if found else f"this is no backup: {error}") from error
    except EOFError as error:
        raise BackupError(_CUT_OFF) from error
    if inventory is None:
        raise BackupError(_CUT_OFF)
    if wrong := differences(inventory.members, found):
        more = f" and {len(wrong) - MOST_SAID} more" if len(wrong) > MOST_SAID else ""
        raise BackupError(f"this backup is damaged: {'; '.join(wrong[:MOST_SAID])}{more}")
    return inventory


def _read_member(
    archive: tarfile.TarFile,
    header: tarfile.TarInfo,
    target: Target,
    found: list[Member],
    inventory: Inventory | None,
) -> Inventory | None:
    opened = archive.extractfile(header) if header.isreg() else None
    if opened is None or inventory is not None or any(member.path == header.name for member in found[-1:]):
        raise BackupError(f"this is no backup of Grayscale: it has {header.name[:200]!r}, which none has")
    if header.name == INVENTORY:
        if header.size > MAX_INVENTORY_BYTES:
            raise BackupError(f"{INVENTORY} of this backup is too large")
        return inventory_from_json(opened.read())
    path = target(check_path(header.name))
    with open(os.devnull, "wb") if path is None else _created(path) as file:
        digest, size = hashlib.sha256(), 0
        while piece := opened.read(PIECE_BYTES):
            file.write(piece)
            digest.update(piece)
            size += len(piece)
    if size != header.size:
        raise BackupError(_CUT_OFF)
    if path is not None:
        os.utime(path, (header.mtime, header.mtime))
    found.append(Member(header.name, size, digest.hexdigest()))
    return None


def _created(path: Path) -> BinaryIO:
    """A new file, for its owner only; raises BackupError for a name that the archive has twice."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
    except FileExistsError as error:
        raise BackupError(f"this backup has {path.name!r} twice") from error
