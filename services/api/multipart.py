"""The parts of a `multipart/form-data` body (RFC 7578, RFC 2046 section 5.1). Pure.

The body is in memory as a whole, so its delimiters are found by `bytes.find`: a parser that goes from byte to byte in
Python takes half a minute for 64 MiB made to slow it down.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from services.shared.errors import InvalidInput, TooLarge

MAX_BOUNDARY_BYTES = 70  # RFC 2046, 5.1.1
MAX_PART_HEADERS_BYTES = 8 * 1024
_MAX_PADDING_BYTES = 64


@dataclass(frozen=True, slots=True)
class Part:
    """`disposition` is the value of Content-Disposition, empty when there is none."""

    disposition: bytes
    content: bytes


def parts_of(body: bytes, boundary: bytes, *, max_parts: int) -> Iterator[Part]:
    """The parts, in order. Raises InvalidInput for a body that is not what its boundary promises, TooLarge for more
    than `max_parts`."""
    if not 0 < len(boundary) <= MAX_BOUNDARY_BYTES:
        raise InvalidInput(
            f"multipart/form-data needs a boundary of 1 to {MAX_BOUNDARY_BYTES} bytes", field="Content-Type"
        )
    delimiter = b"\r\n--" + boundary
    count = 0
    start = _first_part(body, delimiter)
    while start is not None:
        count += 1
        if count > max_parts:
            raise TooLarge(f"the form has more than {max_parts} parts: send several requests", field="body")
        end = body.find(delimiter, start - 2)  # an empty part shares the line end of its headers
        if end < 0:
            raise InvalidInput("the multipart body ends before its closing boundary", field="body")
        content = _content_start(body, start, end)
        yield Part(_disposition(body[start:content]), body[content:end])
        start = _next_part(body, end + len(delimiter))


def _first_part(body: bytes, delimiter: bytes) -> int | None:
    """Where the first part's headers begin, after a preamble that nobody reads."""
    if body.startswith(delimiter[2:]):
        return _next_part(body, len(delimiter) - 2)
    at = body.find(delimiter)
    if at < 0:
        raise InvalidInput("the multipart body does not begin with its boundary", field="body")
    return _next_part(body, at + len(delimiter))


def _next_part(body: bytes, after: int) -> int | None:
    """Where the part behind a delimiter begins; None behind the closing one."""
    if body.startswith(b"--", after):
        return None
    line_end = body.find(b"\r\n", after, after + _MAX_PADDING_BYTES + 2)
    if line_end < 0 or body[after:line_end].strip(b" \t"):
        raise InvalidInput("a boundary in the multipart body is not followed by a line end", field="body")
    return line_end + 2


def _content_start(body: bytes, start: int, end: int) -> int:
    if body.startswith(b"\r\n", start):
        return start + 2
    blank = body.find(b"\r\n\r\n", start, min(end, start + MAX_PART_HEADERS_BYTES) + 4)
    if blank < 0:
        raise InvalidInput(
            f"a form part has no blank line after its headers, or more than {MAX_PART_HEADERS_BYTES} bytes of them",
            field="body",
        )
    return blank + 4


def _disposition(headers: bytes) -> bytes:
    for line in headers.split(b"\r\n"):
        key, _, value = line.partition(b":")
        if key.strip().lower() == b"content-disposition":
            return value.strip()
    return b""
