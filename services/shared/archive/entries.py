"""Which files of a zip archive are taken. Pure; the whole archive is judged before anything of it is unpacked."""

from __future__ import annotations

import stat
import struct
from collections.abc import Sequence

from services.shared.archive.base import ArchiveBytes, ArchiveEntry, ArchiveLimits, refused, shown, too_large
from services.shared.archive.entry_name import entry_name, is_left_out
from services.shared.archive.zip_directory import Record, find_directory, records_of

_HEADER = struct.Struct("<4s5H3L2H")
_STORED, _DEFLATED = 0, 8
_ENCRYPTED = 1 << 0 | 1 << 6 | 1 << 13  # the entry, strongly, or the directory itself
_PATCH = 1 << 5
_SIZES_FOLLOW = 1 << 3  # in a data descriptor behind the content; the directory has them as well
_UTF8 = 1 << 11
_UNIX = 3
_WIDE = 0xFFFFFFFF


def entries_of(archive: ArchiveBytes, limits: ArchiveLimits) -> tuple[ArchiveEntry, ...]:
    """The files in the order of the directory, without folders and what operating systems add. May be empty.

    Raises InvalidInput or TooLarge with a sentence that names the entry, and the limit where it is one.
    """
    directory = find_directory(archive, limits)
    entries: list[ArchiveEntry] = []
    names: set[str] = set()
    spans: list[tuple[int, int, str]] = []
    total_bytes = 0
    for record in records_of(archive, directory):
        name = entry_name(record.raw_name, is_utf8=bool(record.flags & _UTF8), max_bytes=limits.max_name_bytes)
        start = _content_start(archive, record, name)
        spans.append((record.header_at, start + record.compressed_bytes, name))
        if name in names:
            raise refused(f"{shown(name)} is in it twice")
        names.add(name)
        _check_kind(record, name)
        if is_left_out(name):
            continue
        _check_size(record, name, limits)
        total_bytes += record.size_bytes
        if total_bytes > limits.max_total_bytes:
            raise too_large(f"with {shown(name)} its files have more than {limits.max_total_bytes} bytes together")
        if len(entries) == limits.max_entries:
            raise too_large(f"it has more than {limits.max_entries} files: send several")
        entries.append(
            ArchiveEntry(
                name, start, record.compressed_bytes, record.size_bytes, record.crc32, record.method == _DEFLATED
            )
        )
    _check_apart(spans, directory.start)
    return tuple(entries)


def _check_kind(record: Record, name: str) -> None:
    if record.flags & _ENCRYPTED:
        raise refused(f"{shown(name)} is encrypted")
    if record.flags & _PATCH or record.method not in (_STORED, _DEFLATED):
        raise refused(
            f"{shown(name)} is compressed by method {record.method}: use deflate (8) or none (0), as every program can"
        )
    kind = stat.S_IFMT(record.attributes >> 16) if record.made_by >> 8 == _UNIX else 0
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise refused(f"{shown(name)} is a link or a device: put the file itself into the archive")
    if record.method == _STORED and record.compressed_bytes != record.size_bytes:
        raise refused(f"{shown(name)} is not compressed and yet has two sizes")


def _check_size(record: Record, name: str, limits: ArchiveLimits) -> None:
    size = record.size_bytes
    if size > limits.max_entry_bytes:
        raise too_large(f"{shown(name)} has {size} bytes, and an image may have {limits.max_entry_bytes}")
    if size > max(limits.ratio_free_bytes, limits.max_ratio * record.compressed_bytes):
        raise too_large(
            f"{shown(name)} grows from {record.compressed_bytes} to {size} bytes, and a file of more than "
            f"{limits.ratio_free_bytes} bytes may grow {limits.max_ratio} times"
        )


def _content_start(archive: ArchiveBytes, record: Record, name: str) -> int:
    """Where the content begins, behind a header that has to say what the directory says."""
    header = _HEADER.unpack(archive.exactly(record.header_at, _HEADER.size, shown(name)))
    signature, _, flags, method, _, _, crc32, compressed, size, name_bytes, extra_bytes = header
    name_at = record.header_at + _HEADER.size
    told = (crc32, compressed, size)
    expected = (record.crc32, record.compressed_bytes, record.size_bytes)
    agrees = all(
        # zip64 puts the sizes elsewhere; a data descriptor leaves zeros here
        a == b or (a == _WIDE and at > 0) or (a == 0 and flags & _SIZES_FOLLOW)
        for at, (a, b) in enumerate(zip(told, expected, strict=True))
    )
    if (
        signature != b"PK\x03\x04"
        or method != record.method
        or (flags ^ record.flags) & (_ENCRYPTED | _PATCH)
        or archive.exactly(name_at, name_bytes, shown(name)) != record.raw_name
        or not agrees
    ):
        raise refused(f"{shown(name)} is not where its directory says, or says something else of itself")
    return int(name_at + name_bytes + extra_bytes)


def _check_apart(spans: Sequence[tuple[int, int, str]], directory_start: int) -> None:
    """Bombs that reuse one content for many entries (Fifield, "A better zip bomb", 2019) need entries that overlap."""
    before = 0
    for start, end, name in sorted(spans):
        if start < before:
            raise refused(f"{shown(name)} overlaps another entry")
        before = end
        if end > directory_start:
            raise refused(f"{shown(name)} reaches into the directory: it is damaged")
