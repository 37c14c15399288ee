"""`/metrics` of several processes as one: each writes its own exposition to a directory that they share.

<directory>/<pid>.prom   a living process's numbers, at most PUBLISH_S old
<directory>/ended.prom   the counters of all that have ended
<directory>/sum.lock     held while files are added up or moved, so that each process counts exactly once

No sum ever goes back, whichever process is asked: what one process has shown, it has written for the others before.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from services.shared.durable_file import locked
from services.shared.telemetry.exposition import merge

PUBLISH_S = 1.0
_ENDED, _LOCK = "ended.prom", "sum.lock"


class SharedMetrics:
    """One process's part. `render` gives its own numbers now."""

    def __init__(self, directory: Path, render: Callable[[], bytes]) -> None:
        self._directory = directory
        self._own = directory / f"{os.getpid()}.prom"
        self._render = render

    def publish(self) -> None:
        """Writes this process's numbers for the others; called every PUBLISH_S and before the process ends."""
        _replace(self._own, self._render().decode())

    def total(self) -> bytes:
        """The sum over all processes, this one's own numbers fresh."""
        with locked(self._directory / _LOCK):
            self.publish()
            texts = [self._own.read_text()]
            texts += [path.read_text() for path in sorted(self._directory.glob("*.prom")) if path != self._own]
        return merge(texts).encode()


def retire(directory: Path, pid: int) -> None:
    """Moves an ended process's counters to those of all that have ended; gauges end with their process."""
    own, ended = directory / f"{pid}.prom", directory / _ENDED
    with contextlib.suppress(FileNotFoundError), locked(directory / _LOCK):
        text = own.read_text()
        before = ended.read_text() if ended.exists() else ""
        _replace(ended, merge([before, text], gauges=False))
        own.unlink()


def _replace(path: Path, text: str) -> None:
    fresh = path.with_suffix(".fresh")  # a name that `total` does not read
    fresh.write_text(text)
    fresh.replace(path)
