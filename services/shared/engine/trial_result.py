"""What came of trying a version, and where the processes of a machine tell each other."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import json
import os
import signal
import socket
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.shared.clock import Clock
from services.shared.durable_file import replace_file
from services.shared.engine.load_marker import version_files

PASSED_S = 600.0  # for so long whoever is asked to load the same files need not try them
FAILED_S = 10.0  # long enough for those that were asked together; who asks later gets another try
_POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class TrialResult:
    """`reason` says, in a sentence, why a version must not be loaded; empty for one that may be."""

    reason: str = ""


def read_result(status: int, said: Mapping[str, Any] | None, *, over_s: float | None) -> TrialResult:
    """What a process that tried a version came to. `status` is its exit status, negative for a signal; `said` is what
    it wrote last; `over_s`: the bound that it was killed for, None when it ended by itself."""
    if over_s is not None:
        return TrialResult(f"the process that tried it had not done so after {over_s:g} s and was killed")
    if said is not None and status == 0:
        return TrialResult(str(said.get("reason", "")))
    if status >= 0:
        return TrialResult(f"the process that tried it ended with status {status} and said nothing")
    with contextlib.suppress(ValueError):
        name = signal.Signals(-status).name
        cause = ": is there memory for it?" if name == "SIGKILL" else ""
        return TrialResult(f"the process that tried it died ({name}){cause}")
    return TrialResult(f"the process that tried it died (signal {-status})")


class TrialResults:
    """A small file for each version, in a directory that the processes of a machine share; `host` names the machine,
    as another one that shares the directory may have less memory or another processor. Raises OSError."""

    def __init__(self, directory: Path, host: str, clock: Clock) -> None:
        self._directory, self._clock = directory, clock
        self._host = hashlib.sha256(host.encode()).hexdigest()[:16]

    def find(self, key: str) -> TrialResult | None:
        """What somebody found not long ago."""
        try:
            document = json.loads((self._directory / f"{self._host}-{key}.json").read_bytes())
            result, at = TrialResult(str(document["reason"])), float(document["at"])
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None
        age_s = self._clock.now() - at
        return result if 0 <= age_s <= (FAILED_S if result.reason else PASSED_S) else None

    def keep(self, key: str, result: TrialResult) -> None:
        """Blocks."""
        for path in self._directory.glob(f"{self._host}-*.json"):
            if self._clock.now() - path.stat().st_mtime > PASSED_S:
                path.unlink(missing_ok=True)
        document = {"reason": result.reason, "at": self._clock.now()}
        replace_file(self._directory / f"{self._host}-{key}.json", json.dumps(document).encode(), durable=False)

    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Holds the machine's one turn to try a version: two at once would need the memory of both."""
        self._directory.mkdir(parents=True, exist_ok=True)
        handle = os.open(self._directory / f".{self._host}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            while not _locks(handle):
                await asyncio.sleep(_POLL_S)
            yield
        finally:
            os.close(handle)


def host_name() -> str:
    """This machine's, or this container's."""
    return socket.gethostname()


def files_key(ref: str, directory: Path, config: Path) -> str:
    """A checksum of a version's files and its model's config. Blocks; raises OSError."""
    digest = hashlib.sha256(f"{ref}\n".encode())
    for path in (config, *version_files(directory)):
        with path.open("rb") as file:
            digest.update(f"{path.name} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return digest.hexdigest()


def _locks(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
