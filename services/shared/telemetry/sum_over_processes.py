"""`/metrics` of several processes as one: each writes its own exposition to a directory that they share.

<directory>/<pid>.prom   a living process's numbers, at most PUBLISH_S old
<directory>/ended.prom   the counters of all that have ended, so that no sum ever goes back
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from services.shared.telemetry.exposition import merge

PUBLISH_S = 1.0
_ENDED = "ended.prom"


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
        texts = [self._render().decode()]
        for path in sorted(self._directory.glob("*.prom")):
            if path != self._own:
                with contextlib.suppress(FileNotFoundError):  # ended while we read
                    texts.append(path.read_text())
        return merge(texts).encode()


def retire(directory: Path, pid: int) -> None:
    """Moves an ended process's counters to those of all that have ended; gauges end with their process."""
    own, ended = directory / f"{pid}.prom", directory / _ENDED
    with contextlib.suppress(FileNotFoundError):
        text = own.read_text()
        before = ended.read_text() if ended.exists() else ""
        _replace(ended, merge([before, text], gauges=False))
        own.unlink()


def _replace(path: Path, text: str) -> None:
    fresh = path.with_name(f".{path.name}")
    fresh.write_text(text)
    fresh.replace(path)
