"""The parts of a `multipart/form-data` body that is read as it comes (RFC 7578, RFC 2046 section 5.1)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from python_multipart.multipart import parse_options_header

from services.api.multipart import MAX_BOUNDARY_BYTES, MAX_PART_HEADERS_BYTES
from services.shared.errors import InvalidInput, TooLarge

_MAX_PADDING_BYTES = 64


@dataclass(frozen=True, slots=True)
class FormPart:
    """`file_name` is None for a part that is no file. `content` is to be read before the next part is asked for, which
    passes over what is left of it."""

    name: str
    file_name: str | None
    content: AsyncIterator[bytes]


async def form_parts(pieces: AsyncIterator[bytes], boundary: bytes, *, max_parts: int) -> AsyncIterator[FormPart]:
    """The parts, in order; memory is bounded by the longest of `pieces`. Raises InvalidInput for a body that is not
    what its boundary promises, TooLarge for more than `max_parts`, and what `pieces` raises."""
    if not 0 < len(boundary) <= MAX_BOUNDARY_BYTES:
        raise InvalidInput(
            f"multipart/form-data needs a boundary of 1 to {MAX_BOUNDARY_BYTES} bytes", field="Content-Type"
        )
    form = _Form(pieces, boundary)
    async for _ in form.content():
        pass  # a preamble that nobody reads
    count = 0
    while await form.next_part():
        count += 1
        if count > max_parts:
            raise TooLarge(f"the form has more than {max_parts} parts: send several jobs", field="body")
        name, file_name = _names(await form.headers())
        yield FormPart(name, file_name, form.content())
        async for _ in form.content():
            pass
    async for _ in pieces:
        pass  # an epilogue


class _Form:
    """Where the reading stands. `_open`: inside a part's content, or the preamble."""

    def __init__(self, pieces: AsyncIterator[bytes], boundary: bytes) -> None:
        self._pieces = pieces
        self._delimiter = b"\r\n--" + boundary
        self._waiting = b"\r\n"  # the first delimiter may stand at the very beginning
        self._open = True

    async def content(self) -> AsyncIterator[bytes]:
        """What is left up to the next delimiter, which is passed over."""
        while self._open:
            at = self._waiting.find(self._delimiter)
            kept = at if at >= 0 else max(0, len(self._waiting) - len(self._delimiter) + 1)
            piece, self._waiting = self._waiting[:kept], self._waiting[kept:]
            if at >= 0:
                self._waiting = self._waiting[len(self._delimiter) :]
                self._open = False
            if piece:
                yield piece
            if self._open:
                await self._more()

    async def next_part(self) -> bool:
        """Behind a delimiter: False when it was the closing one."""
        while len(self._waiting) < 2:
            await self._more()
        if self._waiting.startswith(b"--"):
            return False
        padding = await self._up_to(
            b"\r\n", _MAX_PADDING_BYTES, "a boundary in the multipart body is not followed by a line end"
        )
        if padding.strip(b" \t"):
            raise InvalidInput("a boundary in the multipart body is not followed by a line end", field="body")
        self._open = True
        return True

    async def headers(self) -> bytes:
        while len(self._waiting) < 2:
            await self._more()
        if self._waiting.startswith(b"\r\n"):
            self._waiting = self._waiting[2:]
            return b""
        reason = f"a form part has no blank line after its headers, or more than {MAX_PART_HEADERS_BYTES} bytes of them"
        return await self._up_to(b"\r\n\r\n", MAX_PART_HEADERS_BYTES, reason)

    async def _up_to(self, mark: bytes, max_bytes: int, reason: str) -> bytes:
        while (at := self._waiting.find(mark, 0, max_bytes + len(mark))) < 0:
            if len(self._waiting) >= max_bytes + len(mark):
                raise InvalidInput(reason, field="body")
            await self._more()
        found, self._waiting = self._waiting[:at], self._waiting[at + len(mark) :]
        return found

    async def _more(self) -> None:
        piece = await anext(self._pieces, None)
        if piece is None:
            raise InvalidInput("the multipart body ends before its closing boundary", field="body")
        self._waiting += piece


def _names(headers: bytes) -> tuple[str, str | None]:
    for line in headers.split(b"\r\n"):
        key, _, value = line.partition(b":")
        if key.strip().lower() == b"content-disposition":
            options = parse_options_header(value.strip())[1]
            file_name = options.get(b"filename")
            return _text(options.get(b"name", b"")), None if file_name is None else _text(file_name)
    return "", None


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")
