"""Zip archives made byte by byte, for what no program writes: lies, overlaps, odd flags."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

STORED, DEFLATED = 0, 8
UNIX = 3 << 8


@dataclass(frozen=True)
class Entry:
    """One file; every field that is None is what an honest program writes. `told_…`: what the directory says."""

    name: bytes = b"a.png"
    content: bytes = b"content"
    method: int = DEFLATED
    flags: int = 0
    made_by: int = 20
    attributes: int = 0
    raw: bytes | None = None
    header_name: bytes | None = None
    header_method: int | None = None
    header_flags: int | None = None
    header_sizes: tuple[int, int, int] | None = None
    told_crc: int | None = None
    told_size: int | None = None
    told_compressed: int | None = None
    told_offset: int | None = None
    extra: bytes = b""
    behind: bytes = b""


def deflated(content: bytes) -> bytes:
    deflating = zlib.compressobj(9, zlib.DEFLATED, -15)
    return deflating.compress(content) + deflating.flush()


def archive(
    *entries: Entry, before: bytes = b"", comment: bytes = b"", count: int | None = None, behind: bytes = b""
) -> bytes:
    """`count`: how many entries the end record tells."""
    body, directory = bytearray(before), bytearray()
    for entry in entries:
        raw = entry.raw
        if raw is None:
            raw = deflated(entry.content) if entry.method == DEFLATED else entry.content
        true = (zlib.crc32(entry.content), len(raw), len(entry.content))
        told = (entry.told_crc, entry.told_compressed, entry.told_size)
        crc, compressed, size = (b if a is None else a for a, b in zip(told, true, strict=True))
        offset = len(body) if entry.told_offset is None else entry.told_offset
        name = entry.name if entry.header_name is None else entry.header_name
        body += struct.pack(
            "<4s5H3L2H",
            b"PK\x03\x04",
            20,
            entry.flags if entry.header_flags is None else entry.header_flags,
            entry.method if entry.header_method is None else entry.header_method,
            0,
            0,
            *((crc, compressed, size) if entry.header_sizes is None else entry.header_sizes),
            len(name),
            0,
        )
        body += name + raw + entry.behind
        directory += struct.pack(
            "<4s6H3L5H2L",
            b"PK\x01\x02",
            entry.made_by,
            20,
            entry.flags,
            entry.method,
            0,
            0,
            crc,
            compressed,
            size,
            len(entry.name),
            len(entry.extra),
            0,
            0,
            0,
            entry.attributes,
            offset,
        )
        directory += entry.name + entry.extra
    return with_end(bytes(body), bytes(directory), len(entries) if count is None else count, comment) + behind


def with_end(body: bytes, directory: bytes, count: int, comment: bytes = b"") -> bytes:
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, count, count, len(directory), len(body), len(comment))
    return body + directory + end + comment


def usual_zip(files: Mapping[str, bytes] | Iterable[tuple[str, bytes]], method: int = DEFLATED) -> bytes:
    """As Python's own module writes it."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as file:
        for name, content in files.items() if isinstance(files, Mapping) else files:
            file.writestr(name, content)
    return out.getvalue()


class Unseekable(io.RawIOBase):
    """A pipe: what is written to it has data descriptors."""

    def __init__(self) -> None:
        self.written = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        piece = bytes(data)  # type: ignore[call-overload]
        self.written += piece
        return len(piece)


def streamed_zip(files: Mapping[str, bytes]) -> bytes:
    """As `zip - …` writes it to a pipe."""
    out = Unseekable()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in files.items():
            file.writestr(name, content)
    return bytes(out.written)


def zip64(files: Mapping[str, bytes]) -> bytes:
    """Every size and offset in its zip64 field, and a zip64 end, as a program writes that cannot know the sizes."""
    body, directory = bytearray(), bytearray()
    for name, content in files.items():
        raw = deflated(content)
        at, encoded, wide = len(body), name.encode(), 0xFFFFFFFF
        local = struct.pack("<2H2Q", 1, 16, len(content), len(raw))
        body += struct.pack(
            "<4s5H3L2H", b"PK\x03\x04", 45, 0, 8, 0, 0, zlib.crc32(content), wide, wide, len(encoded), 20
        )
        body += encoded + local + raw
        extra = struct.pack("<2H3Q", 1, 24, len(content), len(raw), at)
        fields = (45, 45, 0, 8, 0, 0, zlib.crc32(content), wide, wide, len(encoded), len(extra), 0, 0, 0, 0, wide)
        directory += struct.pack("<4s6H3L5H2L", b"PK\x01\x02", *fields) + encoded + extra
    return with_zip64_end(bytes(body), bytes(directory), len(files))


def with_zip64_end(body: bytes, directory: bytes, count: int, *, told: tuple[int, int, int] | None = None) -> bytes:
    """`told`: count, size and offset in the plain end record, else the marks that send a reader to the other."""
    numbers = (45, 45, 0, 0, count, count, len(directory), len(body))
    end64 = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, *numbers)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, len(body) + len(directory), 1)
    plain, size, offset = told or (0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF)
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, plain, plain, size, offset, 0)
    return body + directory + end64 + locator + end


def overlapping(count: int, size: int) -> bytes:
    """Fifield's bomb in its simplest form: every record leads to the one content there is."""
    raw = deflated(bytes(size))
    crc = zlib.crc32(bytes(size))
    header = struct.pack("<4s5H3L2H", b"PK\x03\x04", 20, 0, 8, 0, 0, crc, len(raw), size, 1, 0) + b"a"
    record = struct.pack("<4s6H3L5H2L", b"PK\x01\x02", 20, 20, 0, 8, 0, 0, crc, len(raw), size, 1, 0, 0, 0, 0, 0, 0)
    return with_end(header + raw, (record + b"a") * count, count)


def quoted_overlap(count: int, size: int) -> bytes:
    """Fifield's bomb as he published it: a stored block in each entry quotes the next header."""
    name_of = [b"%04d" % index for index in range(count)]
    kernel = deflated(bytes(size))
    tail, content, parts = kernel, bytes(size), []
    for name in reversed(name_of):
        crc = zlib.crc32(content)
        header = struct.pack("<4s5H3L2H", b"PK\x03\x04", 20, 0, 8, 0, 0, crc, len(tail), len(content), 4, 0) + name
        parts.append((name, crc, len(tail), len(content), len(header)))
        content = header + content
        tail = struct.pack("<B2H", 0, len(header), len(header) ^ 0xFFFF) + header + tail
    parts.reverse()
    body = tail[5:]
    directory, at = bytearray(), 0
    for name, crc, compressed, length, header_bytes in parts:
        directory += struct.pack(
            "<4s6H3L5H2L", b"PK\x01\x02", 20, 20, 0, 8, 0, 0, crc, compressed, length, 4, 0, 0, 0, 0, 0, at
        )
        directory += name
        at += header_bytes + 5
    return with_end(body, bytes(directory), count)
