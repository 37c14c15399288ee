"""When a certificate ends, read from its file: X.509 by hand, as far as its dates (RFC 5280, 4.1; X.690 for DER)."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from pathlib import Path

_SEQUENCE, _VERSION, _UTC_TIME, _GENERALIZED_TIME = 0x30, 0xA0, 0x17, 0x18
_END = "-----END CERTIFICATE-----"


def certificate_end(path: Path) -> float | None:
    """Unix time at which the first certificate of a PEM file, the server's own, ends; None where it cannot be read."""
    try:
        text = path.read_text()
        first = text[text.index("-----BEGIN CERTIFICATE-----") : text.index(_END) + len(_END)]
        return not_after(ssl.PEM_cert_to_DER_cert(first))
    except (OSError, ValueError, IndexError):
        return None


def not_after(der: bytes) -> float:
    """The end of a certificate's validity in Unix time. Raises ValueError or IndexError for what is no certificate."""
    certificate, _ = _element(der, 0, _SEQUENCE)
    body, at = _element(certificate, 0, _SEQUENCE)[0], 0
    if body[0] == _VERSION:
        _, at = _element(body, at, _VERSION)
    for _ in range(3):  # serial number, signature algorithm, issuer
        _, at = _element(body, at)
    validity, _ = _element(body, at, _SEQUENCE)
    _, at = _element(validity, 0)
    kind = validity[at]
    text = _element(validity, at)[0].decode("ascii")
    if kind == _UTC_TIME:  # RFC 5280, 4.1.2.5.1: two digits, from 50 on of the last century
        text = ("19" if int(text[:2]) >= 50 else "20") + text
    elif kind != _GENERALIZED_TIME:
        raise ValueError("the end of a certificate is no time")
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()


def _element(der: bytes, at: int, kind: int | None = None) -> tuple[bytes, int]:
    """What the element at `at` holds, and where the next one begins."""
    if kind is not None and der[at] != kind:
        raise ValueError(f"no element of type {kind:#x} at {at}")
    size, at = der[at + 1], at + 2
    if size & 0x80:
        digits = size & 0x7F
        size, at = int.from_bytes(der[at : at + digits], "big"), at + digits
    if at + size > len(der):
        raise ValueError(f"the element before {at} is longer than what holds it")
    return der[at : at + size], at + size
