"""`/metrics` of several processes as one: each writes its own exposition to a directory that they share.

<directory>/<pid>.prom   a living process's numbers, at most PUBLISH_S old
<directory>/ended.prom   the counters of all that have ended
<directory>/forgotten    releases that no process tells of any more (`forgotten_releases.py`)
<directory>/sum.lock     held while files are added up or moved, so that each process counts exactly once

No sum ever goes back, whichever process is asked: what one process has shown, it has written for the others before.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path

from services.shared.durable_file import locked
from services.shared.telemetry.exposition import merge
from services.shared.telemetry.forgotten_releases import add_forgotten, read_forgotten, releases_in, without
from services.shared.telemetry.process_metrics import render_processes

PUBLISH_S = 1.0
_ENDED, _LOCK = "ended.prom", "sum.lock"


class SharedMetrics:
    """One process's part. `render` gives its own numbers now."""

    def __init__(self, directory: Path, render: Callable[[], bytes]) -> None:
        self._directory = directory
        self._own = directory / f"{os.getpid()}.prom"
        self._render = render
        self._told: frozenset[str] = frozenset()  # releases

    def publish(self) -> None:
        """Writes this process's numbers for the others; called every PUBLISH_S and before the process ends."""
        text, gone = self._news()
        if gone:
            with locked(self._directory / _LOCK):
                _forget(self._directory, gone)
        _replace(self._own, text)

    def _news(self) -> tuple[str, frozenset[str]]:
        """This process's numbers, and the releases that it has forgotten since it was asked for them last."""
        text = self._render().decode()
        told = releases_in(text)
        gone, self._told = self._told - told, told
        return text, gone

    def total(self) -> bytes:
        """The sum over all processes, this one's own numbers fresh, and what the system tells of each
        and of their parent."""
        with locked(self._directory / _LOCK):
            text, gone = self._news()
            if gone:
                _forget(self._directory, gone)
            _replace(self._own, text)
            paths = [self._own, *(path for path in sorted(self._directory.glob("*.prom")) if path != self._own)]
            texts = _texts(self._directory, paths)
        pids = [int(path.stem) for path in paths if path.name != _ENDED]
        return merge(texts).encode() + render_processes([os.getppid(), *pids])


def read_total(directory: Path) -> bytes:
    """The same for a parent, which has no numbers of its own: what its processes wrote last."""
    with locked(directory / _LOCK):
        paths = sorted(directory.glob("*.prom"))
        texts = _texts(directory, paths)
    pids = [int(path.stem) for path in paths if path.name != _ENDED]
    return merge(texts).encode() + render_processes([os.getpid(), *pids])


def retire(directory: Path, pid: int) -> None:
    """Moves an ended process's counters to those of all that have ended; gauges end with their process."""
    own = directory / f"{pid}.prom"
    with contextlib.suppress(FileNotFoundError), locked(directory / _LOCK):
        _add(directory / _ENDED, own.read_text())
        own.unlink()


def add_ended(directory: Path, text: str) -> None:
    """Adds what a process that has ended could not count itself, in the text format. Raises OSError."""
    with locked(directory / _LOCK):
        _add(directory / _ENDED, text)


def _add(ended: Path, text: str) -> None:
    before = ended.read_text() if ended.exists() else ""
    _replace(ended, merge([before, without(text, read_forgotten(ended.parent))], gauges=False))


def _forget(directory: Path, releases: frozenset[str]) -> None:
    """In all sums from now on: whoever makes one holds the lock, as the caller does."""
    add_forgotten(directory, releases)
    ended = directory / _ENDED
    if ended.exists():
        _replace(ended, without(ended.read_text(), releases))


def _texts(directory: Path, paths: Iterable[Path]) -> list[str]:
    forgotten = read_forgotten(directory)
    return [without(path.read_text(), forgotten) for path in paths]


def _replace(path: Path, text: str) -> None:
    fresh = path.with_suffix(".fresh")  # a name that `total` does not read
    fresh.write_text(text)
    fresh.replace(path)
