"""gzip and deflate bodies, with a limit that counts after decompression. Pure."""

from __future__ import annotations

import gzip
import zlib

from services.shared.errors import InvalidInput, TooLarge, UnsupportedMediaType

_ENCODINGS = ("gzip", "deflate")
_EITHER_HEADER = zlib.MAX_WBITS | 32  # zlib tells gzip and zlib streams apart; "deflate" in HTTP is a zlib stream
_LEVEL = 1  # tensors compress little more at a higher level, and the CPU is the model's


def decompress(body: bytes, encoding: str, *, limit_bytes: int) -> bytes:
    """A body as it was before its `Content-Encoding`.

    Raises TooLarge as soon as `limit_bytes` are passed, UnsupportedMediaType for another encoding, InvalidInput for
    a stream that is broken, cut short or followed by other bytes.
    """
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        return body
    if encoding not in _ENCODINGS:
        raise UnsupportedMediaType(f"Content-Encoding {encoding[:32]!r} is not read here: use gzip or deflate")
    parts: list[bytes] = []
    size = 0
    while body:  # a gzip body may be several streams one after another
        stream = zlib.decompressobj(wbits=_EITHER_HEADER)
        try:
            part = stream.decompress(body, limit_bytes - size + 1)
        except zlib.error as error:
            raise InvalidInput(f"the body is not valid {encoding}: {error}") from error
        size += len(part)
        if size > limit_bytes:
            raise TooLarge(f"the body is larger than {limit_bytes} bytes after decompression")
        if not stream.eof:
            raise InvalidInput(f"the {encoding} body ends too early")
        parts.append(part)
        body = stream.unused_data
    return b"".join(parts)


def compress(body: bytes, encoding: str) -> bytes:
    """A body under `encoding`, one that `accepted_encoding` gave."""
    return gzip.compress(body, _LEVEL, mtime=0) if encoding == "gzip" else zlib.compress(body, _LEVEL)


def accepted_encoding(accept: str) -> str | None:
    """The encoding that an `Accept-Encoding` likes best, the first of equals; None for an answer as it is.

    `identity` counts as one of them, as in Triton's `CompressionTypeUsed`.
    """
    best, best_weight = "identity", 0.0
    for item in accept.lower().split(","):
        name, _, parameter = item.strip().partition(";")
        weight = _weight(parameter.strip())
        if name.strip() in (*_ENCODINGS, "identity") and weight > best_weight:
            best, best_weight = name.strip(), weight
    return None if best == "identity" else best


def _weight(parameter: str) -> float:
    if not parameter:
        return 1.0
    try:
        return float(parameter.removeprefix("q="))
    except ValueError:
        return 0.0
