"""Which releases the processes of one directory no longer tell of.

<directory>/forgotten   the labels of those that were forgotten last, one in a line

Each process forgets a release at its own time, and one that has ended never does. A sum would go back with each of
them: so the first that forgets takes the release out of all sums at once.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

_NAME = "forgotten"
_KEPT = 1000  # labels: far more than processes forget between two publications of the slowest
_RELEASE = r'\{(?:\w+="(?:[^"\\]|\\.)*",)*release="((?:[^"\\]|\\.)*)"'  # wherever among its labels
_LABEL = re.compile(rf"grayscale_release_\w+{_RELEASE}")
_COUNTED = re.compile(rf"^grayscale_release_requests_total{_RELEASE}", re.MULTILINE)


def releases_in(text: str) -> frozenset[str]:
    """The labels of all releases that an exposition tells of."""
    return frozenset(_COUNTED.findall(text))


def read_forgotten(directory: Path) -> frozenset[str]:
    try:
        return frozenset((directory / _NAME).read_text().splitlines())
    except FileNotFoundError:
        return frozenset()


def add_forgotten(directory: Path, releases: Collection[str]) -> None:
    """Called by one process at a time."""
    path = directory / _NAME
    known = path.read_text().splitlines() if path.exists() else []
    fresh = path.with_suffix(".fresh")
    kept = list(dict.fromkeys([*known, *sorted(releases)]))[-_KEPT:]
    fresh.write_text("".join(f"{label}\n" for label in kept))
    fresh.replace(path)


def without(text: str, releases: Collection[str]) -> str:
    """The exposition without what it tells of these releases."""
    if not releases:
        return text
    lines = text.splitlines()
    told = (line for line in lines if (found := _LABEL.match(line)) is None or found[1] not in releases)
    return "\n".join([*told, ""])
