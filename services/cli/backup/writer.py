"""Writes the archive: a tar file (POSIX.1-2001, pax) that is written from front to end, so that it may be a pipe."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from services.cli.backup.inventory import (
    INVENTORY,
    MODELS,
    BackupError,
    Inventory,
    Member,
    check_path,
    inventory_to_json,
)

PIECE_BYTES = 2**20


class ArchiveWriter:
    """`members` are those that were written. Raises OSError when the disk, or the pipe, refuses."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self.members: list[Member] = []

    @contextlib.contextmanager
    def member(self, path: str, size_bytes: int, modified_at: float) -> Iterator[MemberWriter]:
        """The file's bytes are written within; raises BackupError at the end when they were not `size_bytes`."""
        self._header(check_path(path), size_bytes, modified_at)
        writer = MemberWriter(self._out)
        yield writer
        if writer.written != size_bytes:
            raise BackupError(f"{path} changed while it was read: make the backup again")
        self._out.write(bytes(-size_bytes % tarfile.BLOCKSIZE))
        self.members.append(Member(path, size_bytes, writer.digest.hexdigest()))

    def add_bytes(self, path: str, data: bytes, modified_at: float) -> None:
        with self.member(path, len(data), modified_at) as writer:
            writer.write(data)

    def add_file(self, path: str, file: Path) -> None:
        """As long as it is now: what is appended meanwhile is left out. One that is gone is passed over."""
        try:
            opened = file.open("rb")
        except FileNotFoundError:
            return
        with opened:
            status = os.fstat(opened.fileno())
            with self.member(path, status.st_size, status.st_mtime) as writer:
                left = status.st_size
                while left and (piece := opened.read(min(left, PIECE_BYTES))):
                    writer.write(piece)
                    left -= len(piece)

    def finish(self, inventory: Inventory) -> None:
        """The inventory, and the end of a tar file."""
        data = inventory_to_json(inventory)
        self._header(INVENTORY, len(data), inventory.made_at)
        self._out.write(data + bytes(-len(data) % tarfile.BLOCKSIZE) + bytes(2 * tarfile.BLOCKSIZE))
        self._out.flush()

    def _header(self, path: str, size_bytes: int, modified_at: float) -> None:
        header = tarfile.TarInfo(path)
        header.size, header.mtime = size_bytes, int(modified_at)
        header.mode = 0o644 if path.startswith(f"{MODELS}/") else 0o600  # for those who unpack it with tar
        self._out.write(header.tobuf(format=tarfile.PAX_FORMAT))


class MemberWriter:
    """The bytes of one file."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self.digest = hashlib.sha256()
        self.written = 0

    def write(self, piece: bytes) -> None:
        self._out.write(piece)
        self.digest.update(piece)
        self.written += len(piece)
