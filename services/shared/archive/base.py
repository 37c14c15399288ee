"""What an archive may be, and what is told of it. Pure: the bytes come from a function that is passed in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from services.shared.errors import InvalidInput, TooLarge

FIELD = "archive"
_SHOWN_CHARACTERS = 80


@dataclass(frozen=True, slots=True)
class ArchiveLimits:
    """`max_entries` images of at most `max_entry_bytes` each and `max_total_bytes` together, all after decompression.

    An entry larger than `ratio_free_bytes` may be at most `max_ratio` times its compressed size. Photos hardly shrink;
    a flat drawing as BMP shrinks a thousand times (deflate's own bound is 1032), hence the free bytes.
    """

    max_entries: int = 1000
    max_entry_bytes: int = 64 * 2**20
    max_total_bytes: int = 2**30
    max_ratio: int = 200
    ratio_free_bytes: int = 16 * 2**20
    max_name_bytes: int = 512

    @property
    def max_records(self) -> int:
        """Of the directory, with folders and what macOS adds for every file."""
        return 4 * self.max_entries + 64

    @property
    def max_directory_bytes(self) -> int:
        """A record has 46 bytes, its name, and seldom more than 60 bytes of times and owners."""
        return self.max_records * (46 + self.max_name_bytes + 128)


@dataclass(frozen=True, slots=True)
class ArchiveBytes:
    """An archive of `size_bytes`; `read(offset, size)` gives up to so many bytes of it, fewer only at its end."""

    size_bytes: int
    read: Callable[[int, int], bytes]

    def exactly(self, offset: int, size: int, what: str) -> bytes:
        """Raises InvalidInput when they are not all there."""
        data = self.read(offset, size) if 0 <= offset <= self.size_bytes - size else b""
        if len(data) != size:
            raise refused(f"it ends before {what} does: it is damaged or was cut off")
        return data


@dataclass(frozen=True, slots=True)
class ArchiveEntry:
    """One file. `name` is a relative path with '/' between its parts; `start` is where its `compressed_bytes` begin.

    `size_bytes` and `crc32` are what the directory declares: `content_of` holds the content to them.
    """

    name: str
    start: int
    compressed_bytes: int
    size_bytes: int
    crc32: int
    is_deflated: bool


def shown(name: str) -> str:
    """A name in a message."""
    return repr(name if len(name) <= _SHOWN_CHARACTERS else name[: _SHOWN_CHARACTERS - 1] + "…")


def refused(reason: str) -> InvalidInput:
    return InvalidInput(f"the zip archive cannot be used: {reason}", field=FIELD)


def too_large(reason: str) -> TooLarge:
    return TooLarge(f"the zip archive is too large: {reason}", field=FIELD)
