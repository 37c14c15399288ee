"""A whole prediction request in one piece of bytes, when it is as nearly every client writes it. Pure.

What the grammar here takes is a strict part of HTTP/1.1 (RFC 9112), on which no two servers differ: one request line of
one form, each header once and on one line, a body of a declared length. All else is left to the parser.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from services.api.uploads import FORM_TYPE

MAX_HEAD_BYTES = 8 * 1024
MAX_BODY_BYTES = 16 * 1024
_MAX_HEADERS = 64
_HEAD = re.compile(
    rb"POST (/v1/models/([A-Za-z0-9][A-Za-z0-9_-]{0,63})/predict) HTTP/1\.1\r\n"
    rb"((?:[A-Za-z0-9-]+: ?[\x21-\x7e\x80-\xff][\x20-\x7e\x80-\xff]*\r\n)+)\r\n"
)
_FIELD = re.compile(rb"([^:]+): ?([^\r]+)\r\n")
# What asks for more than the usual, or for what only the application knows.
UNUSUAL = frozenset(
    b"content-encoding expect traceparent transfer-encoding x-priority x-release-arm x-timeout-ms".split()
)
# The same, and what is the parser's to know.
_UNREAD = UNUSUAL.union(b"connection http2-settings keep-alive proxy-connection te trailer upgrade".split())
_PART = re.compile(
    rb'\r\nContent-Disposition: form-data; name="image"(?:; filename="[^"\\;\r\n]*")?\r\n'
    rb"(?:Content-Type: [^\r\n]*\r\n)?\r\n",
    re.IGNORECASE,
)
_RAW = re.compile(rb"image/[a-z0-9.+-]+|application/octet-stream")
_LENGTH = re.compile(rb"[0-9]{1,5}")


class Unread(Enum):
    """Why there is no request: `MORE` of it is to come, or it is for the `PARSER`."""

    MORE = "more"
    PARSER = "parser"


@dataclass(slots=True, eq=False)
class QuickPost:
    """`fields` are the headers, by lower-case name; `image` the one picture in the body."""

    path: bytes
    model: bytes
    fields: Mapping[bytes, bytes]
    image: bytes


def quick_post(data: bytes) -> QuickPost | Unread:
    """The request that `data`, which begins where a request begins, is from its first byte to its last."""
    head = _HEAD.match(data, 0, MAX_HEAD_BYTES)
    if head is None:
        return Unread.PARSER
    found = _FIELD.findall(head[3])
    fields = {name.lower(): value for name, value in found}
    length = fields.get(b"content-length", b"")
    if (
        len(fields) != len(found)
        or len(found) > _MAX_HEADERS
        or b"host" not in fields
        or (not _UNREAD.isdisjoint(fields) and not _is_kept_alive(fields))
        or not _LENGTH.fullmatch(length)
    ):
        return Unread.PARSER
    start, size = head.end(), int(length)
    missing = start + size - len(data)
    if missing < 0 or not 0 < size <= MAX_BODY_BYTES:
        return Unread.PARSER
    if missing:
        return Unread.MORE
    image = _image_in(data, start, fields.get(b"content-type", b""))
    return Unread.PARSER if image is None else QuickPost(head[1], head[2], fields, image)


def _is_kept_alive(fields: Mapping[bytes, bytes]) -> bool:
    """Whether the only unusual thing is that the client asks for what is the rule in HTTP/1.1."""
    return _UNREAD.intersection(fields) == {b"connection"} and fields[b"connection"].lower() == b"keep-alive"


def _image_in(data: bytes, start: int, content_type: bytes) -> bytes | None:
    form = FORM_TYPE.fullmatch(content_type)
    if form is None:
        return data[start:] if _RAW.fullmatch(content_type) else None
    delimiter = b"--" + form[1]
    part = _PART.match(data, start + len(delimiter)) if data.startswith(delimiter, start) else None
    if part is None:
        return None
    begin = part.end()
    end = data.find(b"\r\n" + delimiter, begin)
    if end < 0 or data[end + 2 + len(delimiter) :] not in (b"--\r\n", b"--"):
        return None
    return data[begin:end]
