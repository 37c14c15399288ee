"""Certificates for servers of a test, made by the `openssl` program."""

from __future__ import annotations

import os
import shutil
import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True, slots=True)
class Certificate:
    """A self-signed certificate for some names: the server's side, that of a client who trusts it, and the files."""

    server: ssl.SSLContext
    client: ssl.SSLContext
    pem: Path
    key: Path


def certificate(directory: Path, *names: str) -> Certificate:
    """Skips the test where there is no openssl, or fails it where everything must be there (GRAYSCALE_REQUIRE)."""
    openssl = shutil.which("openssl")
    if openssl is None:
        reason = "needs the openssl program"
        if os.environ.get("GRAYSCALE_REQUIRE"):
            pytest.fail(reason)
        pytest.skip(reason)
    key, pem = directory / "key.pem", directory / "certificate.pem"
    request = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    alternative = ",".join(f"{'IP' if name[0].isdigit() else 'DNS'}:{name}" for name in names)
    identity = ["-subj", f"/CN={names[0]}", "-addext", f"subjectAltName={alternative}"]
    subprocess.run(
        [openssl, *request, *identity, "-keyout", str(key), "-out", str(pem)], check=True, capture_output=True
    )
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(pem, key)
    return Certificate(server, ssl.create_default_context(cafile=str(pem)), pem, key)
