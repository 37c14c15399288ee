"""The files of the pages, read once: a request finds one by its whole path in a table, so that no path leads out."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from services.shared.asgi import Answer

DIRECTORY = Path(__file__).parent / "pages"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_LEAST_GAIN = 0.9  # of its size that a compressed file may have, to be worth it


@dataclass(frozen=True, slots=True)
class PageFile:
    """`compressed` is empty where that would save too little."""

    content_type: str
    body: bytes
    compressed: bytes
    etag: str

    def answer(self, *, accept_encoding: str, if_none_match: str) -> Answer:
        """The file, or 304 where the client has it already."""
        use_gzip = bool(self.compressed) and accepts_gzip(accept_encoding)
        etag = f'"{self.etag}-gzip"' if use_gzip else f'"{self.etag}"'
        # no-cache: kept, and asked for again each time: after an update no page runs with another one's scripts.
        headers = {"etag": etag, "cache-control": "no-cache", "vary": "accept-encoding"}
        if matches(if_none_match, etag):
            return Answer(304, b"", headers)
        headers["content-type"] = self.content_type
        if use_gzip:
            headers["content-encoding"] = "gzip"
        return Answer(200, self.compressed if use_gzip else self.body, headers)


def read_pages(directory: Path = DIRECTORY) -> Mapping[str, PageFile]:
    """By URL path: `/` and `/models` for `index.html` and `models.html`, other files by their own path. Files of other
    kinds than a browser needs are left out."""
    files = sorted(path for path in directory.rglob("*") if path.suffix in _TYPES and path.is_file())
    return {url_path(path.relative_to(directory)): _page_file(path) for path in files}


def url_path(file: Path) -> str:
    if file.suffix != ".html":
        return f"/{file.as_posix()}"
    return "/" if file.stem == "index" else f"/{file.with_suffix('').as_posix()}"


def accepts_gzip(accept_encoding: str) -> bool:
    """Whether a client takes it, by RFC 9110, 12.5.3; a `*` alone is not counted on."""
    for part in accept_encoding.lower().split(","):
        coding, _, weight = (piece.strip() for piece in part.partition(";"))
        if coding == "gzip":
            return weight.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False


def matches(if_none_match: str, etag: str) -> bool:
    """Whether one of a client's entity tags is this one, compared weakly (RFC 9110, 13.1.2)."""
    tags = (tag.strip().removeprefix("W/") for tag in if_none_match.split(","))
    return any(tag in ("*", etag) for tag in tags)


def _page_file(path: Path) -> PageFile:
    body = path.read_bytes()
    compressed = gzip.compress(body, mtime=0)
    if len(compressed) > _LEAST_GAIN * len(body):
        compressed = b""
    return PageFile(_TYPES[path.suffix], body, compressed, hashlib.sha256(body).hexdigest()[:20])
