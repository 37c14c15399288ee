"""What the arguments of `jobs submit` mean: directories, patterns, archives and files on this machine."""

from __future__ import annotations

import glob
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

# Of the kinds that the server reads, as cameras, browsers and Windows call them.
EXTENSIONS = frozenset(
    f".{name}"
    for name in "jpg jpeg jpe jfif png webp gif bmp dib tif tiff avif".split()  # noqa: SIM905
)
ARCHIVE = ".zip"

MAX_IMAGES = 500  # of one job: half of what a server takes by default, and soon begun
MAX_BYTES = 2**29


class BadSource(Exception):
    """An argument that cannot be used; the text says why."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file with the size that it had when it was found."""

    path: Path
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Sources:
    """`images` in the order of the arguments, each directory's sorted; `left_out` files were found and are not sent."""

    images: tuple[SourceFile, ...]
    archives: tuple[SourceFile, ...]
    left_out: int

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in (*self.images, *self.archives))


@dataclass(slots=True)
class _Found:
    """`files` without repetition, with what is sent of them as its value."""

    files: dict[Path, SourceFile]
    left_out: int = 0


def find_sources(arguments: Sequence[str]) -> Sources:
    """A file that is named is taken as it is, a zip archive as one job; of a directory, and all below it, and of a
    pattern the images that are not hidden. Raises BadSource; it is one when there is nothing to send."""
    found = _Found({})
    for argument in arguments:
        try:
            _take_argument(argument, found)
        except OSError as error:
            raise BadSource(f"{error.filename or argument}: {error.strerror}") from error
    if not found.files:
        left_out = f" ({found.left_out} other files were left out)" if found.left_out else ""
        raise BadSource(f"there are no images in {', '.join(arguments)}{left_out}")
    files = found.files.values()
    return Sources(
        images=tuple(file for file in files if not _is_archive(file.path)),
        archives=tuple(file for file in files if _is_archive(file.path)),
        left_out=found.left_out,
    )


def batches(
    images: Sequence[SourceFile], *, max_images: int = MAX_IMAGES, max_bytes: int = MAX_BYTES
) -> Iterator[tuple[SourceFile, ...]]:
    """The images of each job, in order: as many as fit, and one that is too large for any alone."""
    batch: list[SourceFile] = []
    size_bytes = 0
    for image in images:
        if batch and (len(batch) == max_images or size_bytes + image.size_bytes > max_bytes):
            yield tuple(batch)
            batch, size_bytes = [], 0
        batch.append(image)
        size_bytes += image.size_bytes
    if batch:
        yield tuple(batch)


def _take_argument(argument: str, found: _Found) -> None:
    path = Path(argument).expanduser()
    if path.is_dir():
        _take_directory(path, found)
    elif path.exists():
        _take(path, found)
    else:
        _take_pattern(argument, found)


def _take(path: Path, found: _Found) -> None:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise BadSource(f"{path} is not a file")
    if not os.access(path, os.R_OK):
        raise BadSource(f"{path} may not be read")
    found.files.setdefault(path, SourceFile(path, status.st_size))


def _take_directory(directory: Path, found: _Found) -> None:
    paths: list[Path] = []
    for folder, folders, names in os.walk(directory, onerror=_unreadable):
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths += [Path(folder, name) for name in names]
    for path in sorted(paths):
        _take_image(path, found, kinds=EXTENSIONS)


def _take_pattern(pattern: str, found: _Found) -> None:
    # Without a pattern's signs this finds what is there, and nothing is.
    paths = [Path(name) for name in sorted(glob.glob(os.path.expanduser(pattern), recursive=True))]
    if not paths:
        raise BadSource(f"no such file: {pattern}" if glob.escape(pattern) == pattern else f"nothing fits {pattern}")
    for path in paths:
        if path.is_dir():
            if "**" not in pattern:  # it names what is below by itself
                _take_directory(path, found)
        else:
            _take_image(path, found, kinds=EXTENSIONS | {ARCHIVE})


def _take_image(path: Path, found: _Found, *, kinds: frozenset[str]) -> None:
    """Counts a file that is none of `kinds`, is hidden, or is no file: a pipe, or a link that leads nowhere."""
    if path.suffix.lower() in kinds and not path.name.startswith(".") and path.is_file():
        _take(path, found)
    else:
        found.left_out += 1


def _is_archive(path: Path) -> bool:
    return path.suffix.lower() == ARCHIVE


def _unreadable(error: OSError) -> NoReturn:
    raise error  # a folder that is passed over in silence would be images that nobody misses
