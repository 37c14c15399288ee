"""When a certificate ends, compared with what openssl says of the same file."""

from __future__ import annotations

import contextlib
import ssl
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.shared.telemetry.certificate_end import certificate_end, not_after
from tests.support.certificates import certificate


def element(kind: int, inside: bytes) -> bytes:
    size = len(inside)
    long = size.to_bytes(2, "big")
    return bytes([kind]) + (bytes([size]) if size < 128 else b"\x82" + long) + inside


def der(end: bytes, kind: int, *, version: bool = True) -> bytes:
    """A certificate, as far as it is read."""
    dates = element(0x30, element(0x17, b"200101000000Z") + element(kind, end))
    parts = [element(0x02, b"\x01"), element(0x30, b"\x05\x00" * 100), element(0x30, b""), dates, element(0x30, b"")]
    body = (element(0xA0, element(0x02, b"\x02")) if version else b"") + b"".join(parts)
    return element(0x30, element(0x30, body) + element(0x30, b"") + element(0x03, b"\x00"))


@pytest.mark.parametrize("version", [True, False])
@pytest.mark.parametrize(
    ("end", "kind", "expected"),
    [
        (b"270115080000Z", 0x17, datetime(2027, 1, 15, 8, tzinfo=UTC)),
        (b"491231235959Z", 0x17, datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC)),
        (b"500101000000Z", 0x17, datetime(1950, 1, 1, tzinfo=UTC)),
        (b"20500101000000Z", 0x18, datetime(2050, 1, 1, tzinfo=UTC)),
    ],
)
def test_the_end_is_read_as_the_standard_writes_it(end: bytes, kind: int, expected: datetime, version: bool) -> None:
    assert not_after(der(end, kind, version=version)) == expected.timestamp()


def test_a_real_certificate_ends_when_openssl_says(tmp_path: Path) -> None:
    made = certificate(tmp_path, "localhost")
    said = subprocess.run(
        ["openssl", "x509", "-in", str(made.pem), "-noout", "-enddate"], capture_output=True, text=True, check=True
    )
    end = certificate_end(made.pem)
    assert end == ssl.cert_time_to_seconds(said.stdout.strip().removeprefix("notAfter="))
    chain = tmp_path / "chain.pem"  # the server's own stands first
    chain.write_text(made.pem.read_text() + "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    assert certificate_end(chain) == end


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no certificate",
        "-----BEGIN CERTIFICATE-----\nAAAA",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----",
    ],
)
def test_what_is_no_certificate_has_no_end(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.pem"
    path.write_text(text)
    assert certificate_end(path) is None
    assert certificate_end(tmp_path / "nothing.pem") is None


@given(st.data())
def test_a_damaged_certificate_is_an_error_that_is_caught(data: st.DataObject) -> None:
    whole = bytearray(der(b"270115080000Z", 0x17))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(ValueError, IndexError):
        assert isinstance(not_after(bytes(whole[: data.draw(st.integers(0, len(whole)))])), float)
