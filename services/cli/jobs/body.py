"""Bodies of `POST /v1/models/{model}/jobs` that are read from disk while they are sent."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from services.cli.jobs.server import Final
from services.cli.jobs.sources import SourceFile
from services.cli.terminal import Exit

PIECE_BYTES = 256 * 1024
# As browsers write a name into a header: WHATWG HTML, "Multipart form data".
_ESCAPES = str.maketrans({'"': "%22", "\r": "%0D", "\n": "%0A"})


class JobContent(Protocol):
    """A body of exactly `size_bytes`. Iterating opens the files; it may be done again, for another attempt, and raises
    Final when a file is not what it was."""

    content_type: str
    size_bytes: int

    def __iter__(self) -> Iterator[bytes]: ...


class ArchiveContent:
    """A zip archive as it is. `sent` is told of every piece's bytes."""

    content_type = "application/zip"

    def __init__(self, archive: SourceFile, sent: Callable[[int], None]) -> None:
        self._archive = archive
        self._sent = sent
        self.size_bytes = archive.size_bytes

    def __iter__(self) -> Iterator[bytes]:
        return _told(_pieces(self._archive), self._sent)


class FormContent:
    """Images as the file parts named 'image' of a form (RFC 7578), in their order."""

    def __init__(self, images: Sequence[SourceFile], sent: Callable[[int], None]) -> None:
        boundary = secrets.token_hex(16)  # 128 random bits: no image has them in it
        self._heads = [(_head(image, boundary), image) for image in images]
        self._end = f"--{boundary}--\r\n".encode()
        self._sent = sent
        self.content_type = f"multipart/form-data; boundary={boundary}"
        parts = sum(len(head) + image.size_bytes + len(b"\r\n") for head, image in self._heads)
        self.size_bytes = parts + len(self._end)

    def __iter__(self) -> Iterator[bytes]:
        return _told(self._all(), self._sent)

    def _all(self) -> Iterator[bytes]:
        for head, image in self._heads:
            yield head
            yield from _pieces(image)
            yield b"\r\n"
        yield self._end


def _head(image: SourceFile, boundary: str) -> bytes:
    name = image.path.name.translate(_ESCAPES)
    disposition = f'form-data; name="image"; filename="{name}"'
    head = f"--{boundary}\r\ncontent-disposition: {disposition}\r\ncontent-type: application/octet-stream\r\n\r\n"
    return head.encode("utf-8", "replace")  # names of files are bytes, and not all are text


def _pieces(file: SourceFile) -> Iterator[bytes]:
    left = file.size_bytes
    try:
        with file.path.open("rb") as opened:
            while piece := opened.read(min(PIECE_BYTES, left + 1)):  # one more, to see that it has not grown
                left -= len(piece)
                if left < 0:
                    break
                yield piece
    except OSError as error:
        raise Final(f"{file.path}: {error.strerror}", Exit.FAILED) from error
    if left:
        raise Final(f"{file.path} was changed while it was sent: run the command again", Exit.FAILED)


def _told(pieces: Iterator[bytes], sent: Callable[[int], None]) -> Iterator[bytes]:
    for piece in pieces:
        yield piece
        sent(len(piece))
