"""Where a recipe's checkpoint, network or ONNX file comes from: the model's directory, https:// or s3://."""

from __future__ import annotations

import hashlib
import importlib
import os
import re
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import httpx

from exporters.base import ExportFailed, Tell

CACHE = ".cache"  # in the model's directory; the repository reads no directory whose name begins with a dot
_CHUNK = 1 << 20
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class DownloadLimits:
    """The most that a download may take."""

    size_bytes: int = 8 << 30
    seconds: float = 3600.0
    silence_s: float = 30.0  # without a byte


_LIMITS = DownloadLimits()


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def path_within(directory: Path, text: str) -> Path:
    """A file that a recipe names: relative to the model's directory and inside it, or absolute; raises ExportFailed."""
    path = Path(text)
    root = directory.resolve()
    found = path if path.is_absolute() else (root / path).resolve()
    if not path.is_absolute() and not found.is_relative_to(root):
        raise ExportFailed(f"{text} leads out of {directory}: give the absolute path if that is meant")
    if not found.is_file():
        raise ExportFailed(f"{text} is not there: no file {found}")
    return found


def local_file(text: str, directory: Path, sha256: str, tell: Tell, *, limits: DownloadLimits = _LIMITS) -> Path:
    """The file on this machine, downloaded into `.cache/` where it is remote; raises ExportFailed.

    A `sha256` is verified wherever the file comes from, and required for https://. Plain http:// is for loopback only.
    """
    expected = sha256.lower()
    scheme = text.partition("://")[0].lower() if "://" in text else ""
    if scheme in ("http", "https"):
        _check_url(_url(text))
        if not expected:
            raise ExportFailed(f'{_shown(text)} needs its checksum: add sha256 = "…" (`sha256sum FILE`) beside it')
    elif scheme not in ("", "s3"):
        raise ExportFailed(f"{_shown(text)} cannot be read: use a path, https:// or s3://")
    if scheme:
        return _downloaded(text, scheme, directory / CACHE, expected, tell, limits)
    path = path_within(directory, text)
    if expected and (found := sha256_of(path)) != expected:
        raise ExportFailed(f"{text} has the sha256 {found}, but the recipe says {expected}: it is another file")
    return path


def _downloaded(text: str, scheme: str, cache: Path, expected: str, tell: Tell, limits: DownloadLimits) -> Path:
    name = PurePosixPath(_shown(text)).name
    # The address is in the name too, because without a checksum only it tells two files of one name apart.
    key = expected or hashlib.sha256(text.encode()).hexdigest()
    target = cache / f"{key[:16]}-{name}"
    if expected and target.is_file() and sha256_of(target) == expected:
        return target
    cache.mkdir(exist_ok=True)
    (cache / ".gitignore").write_text("*\n")
    shown = _shown(text)
    reader = _s3_chunks(text) if scheme == "s3" else _http_chunks(text, limits)
    with tempfile.NamedTemporaryFile(dir=cache, prefix=f"{name}.", delete=False) as part:
        try:
            with reader as (size, chunks):
                found = _copied(shown, chunks, size, part, tell, limits)
            if expected and found != expected:
                raise ExportFailed(
                    f"{shown} has the sha256 {found}, but the recipe says {expected}: it is another file"
                )
            part.close()  # what is still buffered is written here
            os.replace(part.name, target)
        except OSError as error:
            os.unlink(part.name)
            raise ExportFailed(f"{shown} cannot be stored in {cache}: {error.strerror}") from error
        except BaseException:
            os.unlink(part.name)
            raise
    return target


def _copied(shown: str, chunks: Iterable[bytes], size: int, out: Any, tell: Tell, limits: DownloadLimits) -> str:
    """Writes the chunks and gives their checksum; `size` is 0 where the server does not say it."""
    if size > limits.size_bytes:
        raise ExportFailed(f"{shown} is {size} bytes long, more than the {limits.size_bytes} that are read")
    digest, done, end = hashlib.sha256(), 0, time.monotonic() + limits.seconds
    for chunk in chunks:
        done += len(chunk)
        if done > limits.size_bytes:
            raise ExportFailed(f"{shown} is longer than the {limits.size_bytes} bytes that are read")
        if time.monotonic() > end:
            raise ExportFailed(f"{shown} was not whole after {limits.seconds:g} s: download it, and name the file")
        digest.update(chunk)
        out.write(chunk)
        tell(f"downloading {PurePosixPath(shown).name}", done, max(size, done))
    if done < size:
        raise ExportFailed(f"{shown} ended after {done} of {size} bytes: try again")
    return digest.hexdigest()


def _check_url(url: httpx.URL) -> None:
    if url.scheme == "https" or (url.scheme == "http" and url.host in _LOOPBACK):
        return
    raise ExportFailed(f"{_shown(str(url))} is not encrypted: use https://")


def _url(text: str) -> httpx.URL:
    try:
        return httpx.URL(text)
    except httpx.InvalidURL as error:
        raise ExportFailed(f"{_shown(text)} is not an address: {error}") from error


def _shown(text: str) -> str:
    """The address without user, password and query, which may be secrets: for messages, and to name the file."""
    scheme, _, rest = re.split("[?#]", text, maxsplit=1)[0].partition("://")
    place, slash, path = rest.partition("/")
    return f"{scheme}://{place.rpartition('@')[2]}{slash}{path}"


@contextmanager
def _http_chunks(text: str, limits: DownloadLimits) -> Iterator[tuple[int, Iterable[bytes]]]:
    def check(request: httpx.Request) -> None:
        _check_url(request.url)  # where a redirect leads counts as well

    shown = _shown(text)
    timeout = httpx.Timeout(limits.silence_s, connect=min(10.0, limits.silence_s))
    # As it is stored: what a server compresses on the way would not have the file's checksum.
    headers = {"accept-encoding": "identity"}
    try:
        with (
            httpx.Client(follow_redirects=True, timeout=timeout, event_hooks={"request": [check]}) as client,
            client.stream("GET", text, headers=headers) as response,
        ):
            if not response.is_success:
                raise ExportFailed(f"{shown} cannot be read: the server answered {response.status_code}")
            length = response.headers.get("content-length", "")
            yield int(length) if length.isdecimal() else 0, response.iter_raw(_CHUNK)
    except httpx.TimeoutException as error:
        raise ExportFailed(f"{shown} cannot be read: nothing came for {limits.silence_s:g} s") from error
    except httpx.HTTPError as error:
        raise ExportFailed(f"{shown} cannot be read: {str(error) or type(error).__name__}") from error


@contextmanager
def _s3_chunks(text: str) -> Iterator[tuple[int, Iterable[bytes]]]:
    """Credentials, region and endpoint come from the AWS_* variables, as obstore reads them."""
    shown = _shown(text)
    try:
        obstore, store = importlib.import_module("obstore"), importlib.import_module("obstore.store")
    except ImportError as error:
        raise ExportFailed(f"{shown} needs the package obstore: `pip install obstore`, or download the file") from error
    bucket, _, key = text.removeprefix("s3://").partition("/")
    if not bucket or not key:
        raise ExportFailed(f"{shown} names no object: write s3://bucket/path/to/file")
    try:
        result = obstore.get(store.S3Store(bucket), key)
    except Exception as error:  # obstore's own and Python's, such as FileNotFoundError
        raise _unread(shown, error) from error
    yield int(result.meta["size"]), _s3_stream(shown, result)


def _s3_stream(shown: str, result: Any) -> Iterator[bytes]:
    try:
        for chunk in result.stream(min_chunk_size=_CHUNK):
            yield bytes(chunk)
    except Exception as error:  # as above
        raise _unread(shown, error) from error


def _unread(shown: str, error: Exception) -> ExportFailed:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return ExportFailed(f"{shown} cannot be read: {lines[0]}")
