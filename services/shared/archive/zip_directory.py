"""The directory at the end of a zip archive: where it is and what its records say. Pure.

Layouts and names: PKWARE APPNOTE.TXT 6.3.10, sections 4.3.12 (records), 4.3.14 to 4.3.16 (its end), 4.5.3 (zip64).
Archives that readers disagree about are refused, not repaired: a count, a size or an offset that is told twice has to
be told the same way, and the directory has to end where its end record begins.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from services.shared.archive.base import ArchiveBytes, ArchiveLimits, refused, too_large

_END = struct.Struct("<4s4H2LH")
_END64_LOCATOR = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQ2H2L4Q")
_RECORD = struct.Struct("<4s6H3L5H2L")
_MAX_COMMENT_BYTES = 0xFFFF
_IN_ZIP64_16, _IN_ZIP64_32 = 0xFFFF, 0xFFFFFFFF
_ZIP64_EXTRA = 0x0001


@dataclass(frozen=True, slots=True)
class Directory:
    """Its place and how many records it says to have."""

    start: int
    end: int
    records: int


@dataclass(frozen=True, slots=True)
class Record:
    """What the directory says of one entry; `header_at` is where the entry itself begins."""

    raw_name: bytes
    made_by: int
    flags: int
    method: int
    crc32: int
    compressed_bytes: int
    size_bytes: int
    attributes: int
    header_at: int


def find_directory(archive: ArchiveBytes, limits: ArchiveLimits) -> Directory:
    """Raises InvalidInput for what is not one whole zip archive, TooLarge for a directory beyond the limits."""
    tail_at = max(0, archive.size_bytes - _END.size - _MAX_COMMENT_BYTES)
    tail = archive.exactly(tail_at, archive.size_bytes - tail_at, "its directory")
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) - at < _END.size:
        raise refused("it has no directory at its end: it is not a zip archive, or it was cut off")
    _, disk, first_disk, here, total, size, start, comment = _END.unpack_from(tail, at)
    if at + _END.size + comment != len(tail):
        raise refused("something stands behind its end, or its comment is cut off")
    end = tail_at + at
    end64 = _end64(archive, end)
    if end64 is not None:
        end, *told64 = end64
        disk, first_disk, here, total, size, start = (
            _told(value, value64, limit)
            for value, value64, limit in zip(
                (disk, first_disk, here, total, size, start),
                told64,
                (_IN_ZIP64_16,) * 4 + (_IN_ZIP64_32,) * 2,
                strict=True,
            )
        )
    if disk or first_disk or here != total:
        raise refused("it is one of several parts: send it as one file")
    if total > limits.max_records:
        raise too_large(f"it has {total} entries, and at most {limits.max_records} are looked at: send several")
    if size > limits.max_directory_bytes:
        raise too_large(f"its directory has {size} bytes, and at most {limits.max_directory_bytes} are read")
    if start + size != end:
        raise refused("its directory is not where its end says: it is damaged, or something stands before it")
    return Directory(start, end, total)


def records_of(archive: ArchiveBytes, directory: Directory) -> Iterator[Record]:
    """The records, in order. Raises InvalidInput when they are not as many, or not as long, as the directory says."""
    data = archive.exactly(directory.start, directory.end - directory.start, "its directory")
    at = 0
    for number in range(directory.records):
        if len(data) - at < _RECORD.size or data[at : at + 4] != b"PK\x01\x02":
            raise refused(f"record {number + 1} of {directory.records} in its directory is damaged or not there")
        fields = _RECORD.unpack_from(data, at)
        name_at = at + _RECORD.size
        extra_at = name_at + fields[10]
        comment_at = extra_at + fields[11]
        at = comment_at + fields[12]
        if at > len(data):
            raise refused(f"record {number + 1} of {directory.records} in its directory is longer than the directory")
        yield _record(fields, data[name_at:extra_at], data[extra_at:comment_at])
    if at != len(data):
        raise refused(f"its directory has more than the {directory.records} records that it counts")


def _record(fields: tuple[int, ...], raw_name: bytes, extra: bytes) -> Record:
    size, compressed, header_at = fields[9], fields[8], fields[16]
    wide = [value == _IN_ZIP64_32 for value in (size, compressed, header_at)]
    if any(wide):
        values = iter(_zip64_values(extra, sum(wide)))
        size, compressed, header_at = (
            next(values) if is_wide else value
            for value, is_wide in zip((size, compressed, header_at), wide, strict=True)
        )
    return Record(raw_name, fields[1], fields[3], fields[4], fields[7], compressed, size, fields[15], header_at)


def _zip64_values(extra: bytes, count: int) -> tuple[int, ...]:
    """The 64-bit values that stand for those that do not fit, in their fixed order."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, at)
        if kind == _ZIP64_EXTRA and 8 * count <= length <= len(extra) - at - 4:
            return struct.unpack_from(f"<{count}Q", extra, at + 4)
        at += 4 + length
    raise refused("a size is said to stand in a zip64 field that is not there")


def _end64(archive: ArchiveBytes, end: int) -> tuple[int, ...] | None:
    """Where the zip64 end record is and its six values, None without one."""
    locator_at = end - _END64_LOCATOR.size
    if locator_at < 0:
        return None
    signature, disk, at, disks = _END64_LOCATOR.unpack(archive.exactly(locator_at, _END64_LOCATOR.size, "its end"))
    if signature != b"PK\x06\x07":
        return None
    if disk or disks > 1:
        raise refused("it is one of several parts: send it as one file")
    record = _END64.unpack(archive.exactly(at, _END64.size, "its zip64 end record"))
    if record[0] != b"PK\x06\x06" or at + 12 + record[1] != locator_at:
        raise refused("its zip64 end record is not where it is said to be")
    return (at, *record[4:])


def _told(value: int, value64: int, limit: int) -> int:
    if value not in (limit, value64):
        raise refused("its two end records contradict each other")
    return value64
