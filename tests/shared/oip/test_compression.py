from __future__ import annotations

import gzip
import zlib

import pytest

from services.shared.errors import InvalidInput, ServingError, TooLarge, UnsupportedMediaType
from services.shared.oip.compression import accepted_encoding, compress, decompress

BODY = b"0123456789" * 100


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (BODY, ""),
        (BODY, "identity"),
        (gzip.compress(BODY, mtime=0), "gzip"),
        (gzip.compress(BODY, mtime=0), " GZIP "),
        (gzip.compress(BODY[:300], mtime=0) + gzip.compress(BODY[300:], mtime=0), "gzip"),
        (zlib.compress(BODY), "deflate"),
    ],
)
def test_a_body_is_read_under_its_encoding(body: bytes, encoding: str) -> None:
    assert decompress(body, encoding, limit_bytes=len(BODY)) == BODY


@pytest.mark.parametrize(
    ("body", "encoding", "error"),
    [
        (BODY, "gzip", InvalidInput),
        (gzip.compress(BODY, mtime=0)[:-1], "gzip", InvalidInput),
        (gzip.compress(BODY, mtime=0) + b"more", "gzip", InvalidInput),
        (BODY, "br", UnsupportedMediaType),
        (gzip.compress(gzip.compress(BODY, mtime=0), mtime=0), "gzip, gzip", UnsupportedMediaType),
        (gzip.compress(BODY + b"x", mtime=0), "gzip", TooLarge),
        (gzip.compress(BODY, mtime=0) + gzip.compress(b"x", mtime=0), "gzip", TooLarge),
        (gzip.compress(bytes(50_000_000), mtime=0), "gzip", TooLarge),
    ],
)
def test_a_broken_or_oversized_body_is_refused(body: bytes, encoding: str, error: type[ServingError]) -> None:
    with pytest.raises(error):
        decompress(body, encoding, limit_bytes=len(BODY))


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_an_answer_is_readable_under_its_encoding(encoding: str) -> None:
    assert decompress(compress(BODY, encoding), encoding, limit_bytes=len(BODY)) == BODY


@pytest.mark.parametrize(
    ("accept", "encoding"),
    [
        ("", None),
        ("gzip", "gzip"),
        ("deflate", "deflate"),
        ("deflate, gzip", "deflate"),
        ("gzip;q=0.5, deflate;q=0.8", "deflate"),
        ("br, gzip", "gzip"),
        ("br", None),
        ("identity, gzip", None),
        ("gzip;q=0", None),
        ("gzip;q=nonsense", None),
        ("*", None),
    ],
)
def test_the_best_liked_encoding_is_chosen(accept: str, encoding: str | None) -> None:
    assert accepted_encoding(accept) == encoding
