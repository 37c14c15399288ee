"""Marks on disk that outlive a process which dies while it loads a version, so that its successor knows."""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from services.shared.model_ref import ModelRef

_OLD_S = 86_400.0  # a death is forgotten after a day
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Mark:
    path: Path
    ref: str
    turn: int


def version_files(directory: Path) -> list[Path]:
    """What a version consists of, beside its model's config. Raises OSError."""
    return sorted(path for path in directory.iterdir() if path.is_file())


class LoadMarkers:
    """One file for each load in work, which its process holds locked: the lock ends with the process, however it dies,
    and the file stays. A directory that cannot be used costs no load: then nothing is known."""

    def __init__(self, directory: Path, process_id: str) -> None:
        self._directory, self._process_id = directory, process_id

    def deaths(self, ref: ModelRef) -> int:
        """How many times, one after the other, processes have died while they loaded this version."""
        with contextlib.suppress(OSError):
            return max((mark.turn for mark in self._left() if mark.ref == str(ref)), default=0)
        return 0

    @contextlib.contextmanager
    def marked(self, ref: ModelRef) -> Iterator[None]:
        """Says that this process loads the version, until it ends in any way but the process's death."""
        mark = self._make(ref)
        try:
            yield
        finally:
            if mark is not None:
                handle, path = mark
                path.unlink(missing_ok=True)
                os.close(handle)

    def forget(self, ref: ModelRef) -> None:
        """The version was loaded: whatever its other loads died of, it was not the version."""
        with contextlib.suppress(OSError):
            for mark in self._left():
                if mark.ref == str(ref):
                    mark.path.unlink(missing_ok=True)

    def _make(self, ref: ModelRef) -> tuple[int, Path] | None:
        """An open file that is locked, and where it is."""
        path = self._directory / f"{self._process_id}.json"
        unseen = path.with_name(f".{path.name}")  # until it is locked: nobody may take it for one that was left
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            turn = self.deaths(ref) + 1
            handle = os.open(unseen, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX)
                os.write(handle, json.dumps({"ref": str(ref), "turn": turn}).encode())
                unseen.rename(path)
            except BaseException:
                os.close(handle)
                raise
        except OSError as error:
            _log.warning("%s is loaded without a mark: %s", ref, error)
            return None
        return handle, path

    def _left(self) -> Iterator[_Mark]:
        """The marks of processes that are gone. Raises OSError where they cannot be listed."""
        for path in sorted(self._directory.glob("[!.]*.json")):
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                with path.open("rb") as file:
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # OSError: its process lives
                    if time.time() - os.fstat(file.fileno()).st_mtime > _OLD_S:
                        path.unlink()
                        continue
                    document = json.loads(file.read())
                yield _Mark(path, document["ref"], int(document["turn"]))
