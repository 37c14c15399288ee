"""The bytes of one file in a zip archive, held to what the directory declares. Pure."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from services.shared.archive.base import ArchiveBytes, ArchiveEntry, refused, shown
from services.shared.errors import InvalidInput

PIECE_BYTES = 256 * 1024


def content_of(archive: ArchiveBytes, entry: ArchiveEntry) -> Iterator[bytes]:
    """Pieces of at most PIECE_BYTES, at most `size_bytes` in all. Raises InvalidInput as soon as the content turns out
    longer, and at its end when it is shorter or has another checksum."""
    size, crc32 = 0, 0
    for piece in _inflated(archive, entry) if entry.is_deflated else _stored(archive, entry):
        size += len(piece)
        if size > entry.size_bytes:
            raise refused(f"{shown(entry.name)} has more than the {entry.size_bytes} bytes that its directory declares")
        crc32 = zlib.crc32(piece, crc32)
        yield piece
    if size != entry.size_bytes:
        raise refused(f"{shown(entry.name)} has {size} bytes, and its directory declares {entry.size_bytes}")
    if crc32 != entry.crc32:
        raise refused(f"{shown(entry.name)} is damaged: its checksum is not the one that its directory declares")


def _stored(archive: ArchiveBytes, entry: ArchiveEntry) -> Iterator[bytes]:
    end = entry.start + entry.compressed_bytes
    for at in range(entry.start, end, PIECE_BYTES):
        yield archive.exactly(at, min(PIECE_BYTES, end - at), shown(entry.name))


def _inflated(archive: ArchiveBytes, entry: ArchiveEntry) -> Iterator[bytes]:
    inflating = zlib.decompressobj(-zlib.MAX_WBITS)
    for compressed in _stored(archive, entry):
        if inflating.eof:
            raise _ends_elsewhere(entry)
        waiting, more = compressed, True
        while more and not inflating.eof:
            try:
                piece = inflating.decompress(waiting, PIECE_BYTES)
            except zlib.error:
                raise refused(f"{shown(entry.name)} is damaged: its content cannot be decompressed") from None
            waiting = inflating.unconsumed_tail
            more = bool(waiting) or len(piece) == PIECE_BYTES  # more may wait inside when all input is taken
            if piece:
                yield piece
    if not inflating.eof or inflating.unused_data:
        raise _ends_elsewhere(entry)


def _ends_elsewhere(entry: ArchiveEntry) -> InvalidInput:
    return refused(f"{shown(entry.name)} is damaged: its content does not end where its directory says")
