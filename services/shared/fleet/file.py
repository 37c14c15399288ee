"""The fleet's state in a directory that all processes of one machine share."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from services.shared.durable_file import locked, replace_file
from services.shared.errors import Conflict, Unavailable
from services.shared.fleet.base import Desired, Heartbeat
from services.shared.fleet.document import desired_from_json, desired_to_json, heartbeat_from_json, heartbeat_to_json

LEFT_BEHIND_S = 3600.0  # since a heartbeat: whoever made it is gone
REMOVE_S = 600.0  # between two times that a writer looks for such


class FileFleetStore:
    """`desired.json` and `processes/<id>.json`, each written beside itself and renamed; writers take a file lock.

    Reading the desired set costs one `stat` while it has not changed, so it may be polled many times a second.
    """

    def __init__(self, directory: Path) -> None:
        self._desired_path = directory / "desired.json"
        self._processes = directory / "processes"
        self._lock_path = directory / "desired.lock"
        self._removed_at = 0.0
        self._cached: tuple[tuple[int, int, int], Desired] | None = None

    async def desired(self) -> Desired:
        return self._read_desired()

    async def put(self, desired: Desired, *, expected_revision: int) -> Desired:
        return await asyncio.to_thread(self._put, desired, expected_revision)

    async def beat(self, heartbeat: Heartbeat) -> None:
        with _as_unavailable():
            self._processes.mkdir(parents=True, exist_ok=True)
            own = self._processes / f"{heartbeat.process_id}.json"
            replace_file(own, heartbeat_to_json(heartbeat), durable=False)
            self._remove_left_behind(own)

    async def retire(self, process_id: str) -> None:
        with _as_unavailable():
            (self._processes / f"{process_id}.json").unlink(missing_ok=True)

    async def heartbeats(self) -> tuple[Heartbeat, ...]:
        found = []
        with _as_unavailable():
            for path in sorted(self._processes.glob("*.json")):
                with contextlib.suppress(FileNotFoundError):  # retired while we read
                    found.append(heartbeat_from_json(path.read_bytes()))
        return tuple(found)

    def _remove_left_behind(self, own: Path) -> None:
        """A process that is killed leaves its heartbeat; times are the file system's, as hosts may share it."""
        now = own.stat().st_mtime
        if now - self._removed_at < REMOVE_S:
            return
        self._removed_at = now
        for path in self._processes.glob("*.json"):
            with contextlib.suppress(FileNotFoundError):  # another one was first
                if now - path.stat().st_mtime > LEFT_BEHIND_S:
                    path.unlink()

    def _read_desired(self) -> Desired:
        with _as_unavailable():
            try:
                status = self._desired_path.stat()
                stamp = (status.st_ino, status.st_mtime_ns, status.st_size)
                if self._cached is None or self._cached[0] != stamp:
                    self._cached = (stamp, desired_from_json(self._desired_path.read_bytes()))
            except FileNotFoundError:
                return Desired()
        return self._cached[1]

    def _put(self, desired: Desired, expected_revision: int) -> Desired:
        with _as_unavailable():
            self._lock_path.parent.mkdir(parents=True, exist_ok=True)
            with locked(self._lock_path):
                current = self._read_desired().revision
                if current != expected_revision:
                    raise Conflict(f"the desired set is at revision {current}, not {expected_revision}")
                written = replace(desired, revision=expected_revision + 1)
                replace_file(self._desired_path, desired_to_json(written), durable=True)
        return written


@contextlib.contextmanager
def _as_unavailable() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Unavailable(f"the data directory cannot be used: {error}") from error
