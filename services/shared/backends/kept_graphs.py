"""Graphs that a runtime has optimised, kept on disk: loaded in a tenth of the time, and their weights mapped into
memory, so that every session and every process that runs the model shares one copy of them.

An entry is a directory with the graph, its weights and a manifest of their SHA-256. It is made under another name and
renamed, so it is whole or absent; one that is damaged is thrown away and made again. Nothing is read from a directory
that others may write to: who writes a graph decides what this process computes.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from services.shared.durable_file import locked
from services.shared.errors import InferenceFailed

GRAPH, MANIFEST = "graph.onnx", "manifest.json"
LIMIT_BYTES = 4 << 30
_FORMAT = 1  # of a manifest; another number is another key, so older entries age away
_UNFINISHED = ".unfinished-"
_log = logging.getLogger(__name__)

Build = Callable[[Path], bool]
_ROOM = 3  # times the source's size must be free: an optimised graph may have its weights twice


class KeptGraphs:
    """`limit_bytes` bounds all entries together: the ones not used for longest go first."""

    def __init__(self, directory: Path, *, limit_bytes: int = LIMIT_BYTES) -> None:
        self._directory, self._limit_bytes = directory, limit_bytes

    def find(self, source: Path, traits: str, build: Build) -> Path | None:
        """The optimised graph of the model file `source`, or None when there is none to be had.

        `traits` is everything beside the files in the source's directory that it depends on. `build(directory)` writes
        `GRAPH` and its weights, when they are not kept yet, and says whether they are good: if not, that is remembered.
        It may raise InferenceFailed, which is not. One process builds while the others wait. The caller must be ready
        for a graph that is gone when it is opened.
        """
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not _is_ours(self._directory):
                _log.warning("%s can be used by others: optimised graphs are not kept there", self._directory)
                return None
            entry = self._directory / _key(source, traits)
            with locked(self._directory / ".lock"):
                usable = _verified(entry)
                if usable is None:
                    self._check_room(source)
                    usable = self._make(entry, build)
                os.utime(entry / MANIFEST)
                self._evict(entry)
        except OSError as error:
            _log.warning("optimised graphs cannot be kept in %s: %s", self._directory, error)
            return None
        except InferenceFailed as error:
            _log.warning("%s is loaded without a kept optimised graph: %s", source, error.detail)
            return None
        return entry / GRAPH if usable else None

    def _check_room(self, source: Path) -> None:
        """A full disk must not pass for a graph that cannot be used."""
        if shutil.disk_usage(self._directory).free < _ROOM * sum(path.stat().st_size for path in _files(source)):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _make(self, entry: Path, build: Build) -> bool:
        """A new entry in place of what is there; under the lock, so whatever is unfinished has no owner any more."""
        for path in (*self._directory.glob(f"{_UNFINISHED}*"), entry):
            shutil.rmtree(path, ignore_errors=True)
        unfinished = Path(tempfile.mkdtemp(dir=self._directory, prefix=_UNFINISHED))
        try:
            usable = build(unfinished)
            if not usable:
                for path in unfinished.iterdir():
                    path.unlink()
            digests = {path.name: _sha256(path) for path in sorted(unfinished.iterdir())}
            manifest = {"format": _FORMAT, "usable": usable, "sha256": digests}
            (unfinished / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")
            unfinished.rename(entry)
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise
        return usable

    def _evict(self, used: Path) -> None:
        entries = sorted(self._entries(), key=lambda entry: (entry != used, -_last_use(entry)))
        total = 0
        for entry in entries:
            total += sum(path.lstat().st_size for path in entry.iterdir())
            if total > self._limit_bytes and entry != used:
                # Processes that have mapped it keep what they have mapped.
                shutil.rmtree(entry, ignore_errors=True)

    def _entries(self) -> Iterator[Path]:
        return (path for path in self._directory.iterdir() if path.is_dir() and not path.name.startswith("."))


def _is_ours(directory: Path) -> bool:
    status = directory.lstat()
    private = status.st_mode & 0o077 == 0
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and private


def _key(source: Path, traits: str) -> str:
    """The weights of a large model lie in other files beside it, under any name: all files there count."""
    digest = hashlib.sha256(f"{_FORMAT}\n{source.name}\n{traits}\n".encode())
    for path in _files(source):
        digest.update(f"{path.name} {_sha256(path)}\n".encode())
    return digest.hexdigest()


def _files(source: Path) -> list[Path]:
    return sorted(path for path in source.parent.iterdir() if path.is_file())


def _verified(entry: Path) -> bool | None:
    """Whether the entry has a usable graph; None when there is no entry, or not the one that was written."""
    try:
        manifest = json.loads((entry / MANIFEST).read_bytes())
        usable, digests = bool(manifest["usable"]), dict(manifest["sha256"])
        whole = manifest["format"] == _FORMAT and (GRAPH in digests) == usable
        intact = whole and all(_sha256(entry / name) == sha256 for name, sha256 in digests.items())
    except (OSError, ValueError, TypeError, KeyError):
        return None
    if not intact:
        _log.warning("%s is damaged: it is made again", entry)
        return None
    return usable


def _last_use(entry: Path) -> float:
    try:
        return (entry / MANIFEST).stat().st_mtime
    except OSError:
        return 0.0


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
