"""Closed-loop load: a number of clients, each of which asks again as soon as it has its answer."""

from __future__ import annotations

import math
import secrets
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol
from urllib.parse import SplitResult, urlsplit


class MeasurementFailed(Exception):
    """Nothing can be measured; the message is one sentence that says why."""


@dataclass(frozen=True, slots=True)
class Request:
    """What every client sends: a POST to `url` (http only) with this body."""

    url: str
    body: bytes
    content_type: str
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def address(self) -> SplitResult:
        """The parts of the URL."""
        return urlsplit(self.url)

    @property
    def target(self) -> str:
        """The request target of HTTP: path and query."""
        parts = self.address
        return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


@dataclass(frozen=True, slots=True)
class Load:
    """What one run gave. `requests` counts the answers, good and bad; the latencies are of all of them.

    `refused` counts answers that are not 200, `broken` connections that failed and answers that did not come in time.
    """

    requests: int
    seconds: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    refused: int = 0
    broken: int = 0

    @property
    def requests_per_s(self) -> float:
        return self.requests / self.seconds if self.seconds > 0 else 0.0

    @property
    def errors(self) -> int:
        return self.refused + self.broken


class Generator(Protocol):
    """Makes closed-loop load. `name` says which it is, and what a reader of its figures must know."""

    name: str

    def run(self, request: Request, connections: int, seconds: int) -> Load:
        """Blocks for about this long; raises MeasurementFailed when the load cannot be made at all."""
        ...


def upload(url: str, picture: Path, headers: Mapping[str, str] | None = None) -> Request:
    """A picture as a browser's form sends it: one part `image` of multipart/form-data (RFC 7578)."""
    return upload_all(url, [picture], headers)


def upload_all(url: str, pictures: Sequence[Path], headers: Mapping[str, str] | None = None) -> Request:
    """The same for several pictures, a part for each."""
    boundary = secrets.token_hex(16)
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="{picture.name}"\r\n'
        f"Content-Type: {_MEDIA_TYPES.get(picture.suffix.lower(), 'application/octet-stream')}\r\n\r\n".encode()
        + picture.read_bytes()
        + b"\r\n"
        for picture in pictures
    ]
    body = b"".join(parts) + f"--{boundary}--\r\n".encode()
    return Request(url, body, f"multipart/form-data; boundary={boundary}", dict(headers or {}))


_MEDIA_TYPES = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp"}


def percentile(ascending: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of the values do not exceed (nearest rank); 0 when there is none."""
    if not ascending:
        return 0.0
    return ascending[max(0, math.ceil(share * len(ascending)) - 1)]


def choose_generator(directory: Path) -> Generator:
    """wrk where it is installed, else a client in this process, which takes CPU from what it measures and says so.
    `directory` is for wrk's script."""
    from services.cli.measure.asyncio_load import AsyncioGenerator
    from services.cli.measure.wrk import WrkGenerator

    program = shutil.which("wrk")
    return WrkGenerator(program, directory) if program else AsyncioGenerator()
