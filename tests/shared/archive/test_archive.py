"""Whole archives: honest ones are read, whoever wrote them; hostile ones get a sentence."""

from __future__ import annotations

import io
import stat
import struct
import tracemalloc
import zipfile
from collections.abc import Mapping

import pytest

from services.shared.archive.base import ArchiveBytes, ArchiveLimits
from services.shared.archive.content import PIECE_BYTES, content_of
from services.shared.archive.entries import entries_of
from services.shared.errors import InvalidInput, TooLarge
from tests.support.zip_files import (
    STORED,
    UNIX,
    Entry,
    archive,
    deflated,
    overlapping,
    quoted_overlap,
    streamed_zip,
    usual_zip,
    with_end,
    with_zip64_end,
    zip64,
)

LIMITS = ArchiveLimits(max_entries=5, max_entry_bytes=2**20, max_total_bytes=2**21, ratio_free_bytes=2**16)
FILES = {"a.png": b"first" * 100, "folder/b.jpg": b"", "c.webp": bytes(range(256)) * 4}
SOCKET, LINK = stat.S_IFSOCK << 16, stat.S_IFLNK << 16


def bytes_of(data: bytes) -> ArchiveBytes:
    return ArchiveBytes(len(data), lambda at, size: data[at : at + size])


def read(data: bytes, limits: ArchiveLimits = LIMITS) -> Mapping[str, bytes]:
    source = bytes_of(data)
    return {entry.name: b"".join(content_of(source, entry)) for entry in entries_of(source, limits)}


@pytest.mark.parametrize(
    "data",
    [
        usual_zip(FILES),
        usual_zip(FILES, zipfile.ZIP_STORED),
        streamed_zip(FILES),
        zip64(FILES),
        archive(*(Entry(name.encode(), content) for name, content in FILES.items()), comment=b"a comment"),
        archive(*(Entry(name.encode(), content, behind=b"gap") for name, content in FILES.items())),
    ],
    ids=["deflated", "stored", "streamed", "zip64", "comment", "gaps"],
)
def test_an_honest_archive_is_read(data: bytes) -> None:
    assert read(data) == FILES


def test_an_empty_archive_has_no_entries() -> None:
    assert read(usual_zip({})) == {}


def test_folders_and_what_systems_add_are_left_out_and_not_counted() -> None:
    added = {"folder/": b"", "__MACOSX/._a.png": b"x", ".DS_Store": b"y"} | {f"d{index}/": b"" for index in range(20)}
    assert read(usual_zip(added | {"a.png": b"1"})) == {"a.png": b"1"}


def test_large_content_comes_in_bounded_pieces() -> None:
    limits = ArchiveLimits(max_entry_bytes=2**26, max_total_bytes=2**26, max_ratio=2000)
    data = usual_zip({"a.bmp": bytes(50_000_000)})
    source = bytes_of(data)
    entry = entries_of(source, limits)[0]
    tracemalloc.start()
    try:
        sizes = [len(piece) for piece in content_of(source, entry)]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert sum(sizes) == 50_000_000
    assert max(sizes) <= PIECE_BYTES
    assert peak < 8 * PIECE_BYTES


REFUSED = {
    "nothing": (b"", "no directory at its end"),
    "no zip": (b"\x89PNG" + bytes(1000), "no directory at its end"),
    "cut off": (usual_zip(FILES)[:-30], "no directory at its end"),
    "bytes behind": (archive(Entry(), behind=b"x"), "behind its end"),
    "bytes before": (b"MZ" + usual_zip(FILES), "something stands before it"),
    "cut comment": (archive(Entry(), comment=b"abc")[:-1], "comment is cut off"),
    "several parts": (archive(Entry())[:-18] + struct.pack("<2H", 1, 1) + archive(Entry())[-14:], "several parts"),
    "too few counted": (archive(Entry(), Entry(b"b"), count=1), "more than the 1 records"),
    "too many counted": (archive(Entry(), count=2), "record 2 of 2"),
    "encrypted": (archive(Entry(flags=1)), "'a.png' is encrypted"),
    "strongly encrypted": (archive(Entry(flags=0x41)), "'a.png' is encrypted"),
    "bzip2": (archive(Entry(method=12)), "'a.png' is compressed by method 12"),
    "patched": (archive(Entry(flags=1 << 5)), "'a.png' is compressed by method"),
    "link": (archive(Entry(made_by=UNIX, attributes=LINK)), "'a.png' is a link or a device"),
    "socket": (archive(Entry(made_by=UNIX, attributes=SOCKET)), "'a.png' is a link or a device"),
    "left out link": (archive(Entry(b"__MACOSX/x", made_by=UNIX, attributes=LINK)), "is a link or a device"),
    "up": (archive(Entry(b"../a.png")), "leads out of the archive"),
    "absolute": (archive(Entry(b"/a.png")), "absolute path"),
    "twice": (archive(Entry(), Entry()), "'a.png' is in it twice"),
    "twice in two spellings": (archive(Entry(b"d/a.png"), Entry(b"d\\.\\a.png")), "'d/a.png' is in it twice"),
    "another name": (archive(Entry(header_name=b"b.png")), "says something else of itself"),
    "another method": (archive(Entry(header_method=0)), "says something else of itself"),
    "another size": (archive(Entry(header_sizes=(0, 1, 2))), "says something else of itself"),
    "secretly encrypted": (archive(Entry(header_flags=1)), "says something else of itself"),
    "elsewhere": (archive(Entry(told_offset=3)), "is not where its directory says"),
    "far away": (archive(Entry(told_offset=2**31)), "ends before 'a.png' does"),
    "into the directory": (
        archive(Entry(method=STORED, told_size=50, told_compressed=50)),
        "reaches into the directory",
    ),
    "overlap": (overlapping(2, 100), "is in it twice"),
    "quoted overlap": (quoted_overlap(3, 100), "overlaps another entry"),
    "stored with two sizes": (archive(Entry(method=STORED, told_size=3)), "has two sizes"),
    "less than declared": (archive(Entry(told_size=8)), "has 7 bytes, and its directory declares 8"),
    "more than declared": (archive(Entry(told_size=6)), "has more than the 6 bytes"),
    "another checksum": (archive(Entry(told_crc=1)), "'a.png' is damaged: its checksum"),
    "no deflate": (archive(Entry(raw=b"\xff" * 20)), "cannot be decompressed"),
    "unfinished deflate": (archive(Entry(raw=deflated(b"content")[:-2])), "does not end where its directory says"),
    "bytes behind deflate": (archive(Entry(raw=deflated(b"content") + b"x")), "does not end where its directory says"),
    "megabytes behind deflate": (
        archive(Entry(raw=deflated(b"content") + bytes(2**20))),
        "does not end where its directory says",
    ),
    "zip64 size without field": (archive(Entry(told_size=0xFFFFFFFF)), "zip64 field that is not there"),
    "zip64 end that contradicts": (with_zip64_end(b"", b"", 0, told=(1, 0, 0)), "contradict each other"),
    "zip64 end elsewhere": (
        with_zip64_end(b"", b"", 0)[:-34] + struct.pack("<QL", 1, 1) + with_zip64_end(b"", b"", 0)[-22:],
        "zip64 end record is not where",
    ),
    "two ends": (
        with_end(b"", b"", 0, comment=archive(Entry())),
        "its directory is not where its end says",
    ),
}


@pytest.mark.parametrize(("data", "why"), REFUSED.values(), ids=REFUSED)
def test_a_hostile_or_broken_archive_is_refused_with_a_sentence(data: bytes, why: str) -> None:
    with pytest.raises(InvalidInput, match=why) as failure:
        read(data)
    assert not isinstance(failure.value, TooLarge)
    assert failure.value.detail.startswith("the zip archive cannot be used: ")
    assert failure.value.field == "archive"


TOO_LARGE = {
    "entry": (usual_zip({"big.bmp": bytes(2**20 + 1)}, STORED), "'big.bmp' has 1048577 bytes, and an image may"),
    "declared entry": (archive(Entry(told_size=2**31, told_compressed=7)), "'a.png' has 2147483648 bytes"),
    "ratio": (usual_zip({"a.bmp": bytes(2**17)}), r"'a.bmp' grows from \d+ to 131072 bytes, and a file of more than"),
    "total": (usual_zip({f"{index}.bmp": bytes(900_000) for index in range(3)}, STORED), "with '2.bmp' its files have"),
    "files": (usual_zip({f"{index}.png": b"x" for index in range(6)}), "more than 5 files"),
    "records": (usual_zip({f"d{index}/": b"" for index in range(85)}), "85 entries, and at most 84 are looked at"),
    "directory": (
        archive(*(Entry(b"%d" % index, extra=bytes(65_000)) for index in range(4))),
        "its directory has",
    ),
}


@pytest.mark.parametrize(("data", "why"), TOO_LARGE.values(), ids=TOO_LARGE)
def test_an_archive_beyond_a_limit_is_too_large_and_names_the_limit(data: bytes, why: str) -> None:
    with pytest.raises(TooLarge, match=why) as failure:
        read(data)
    assert failure.value.field == "archive"


@pytest.mark.parametrize("data", [overlapping(80, 2**19), quoted_overlap(80, 2**19)], ids=["shared", "quoted"])
def test_a_bomb_is_refused_before_anything_is_unpacked(data: bytes) -> None:
    limits = ArchiveLimits(max_entries=100, max_ratio=10_000)
    with pytest.raises(InvalidInput, match=r"is in it twice|overlaps another entry"):
        entries_of(bytes_of(data), limits)


def test_quoted_overlap_is_what_other_readers_unpack() -> None:
    """So that the refusal above is of the real thing: Python's own module takes each of these for a file."""
    assert len(zipfile.ZipFile(io.BytesIO(quoted_overlap(4, 100))).infolist()) == 4


def test_a_ratio_is_allowed_up_to_the_free_bytes() -> None:
    assert read(usual_zip({"flat.bmp": bytes(2**16)})) == {"flat.bmp": bytes(2**16)}
