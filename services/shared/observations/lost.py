"""What a process that died had in flight: who finds it dead leaves it in a file, and whoever has a store counts it.

It imports little: see `in_flight.py`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from pathlib import Path

from services.shared.observations.in_flight import InFlight, path_of, read_in_flight

_log = logging.getLogger(__name__)

PROCESS_DIED = "ProcessDied"  # the kind of error that it counts as


def leave_lost(directory: Path, pid: int, *, died: bool) -> int:
    """For a process that is gone: how many requests about releases died with it, which are left to be counted. Of one
    that ended as it should there are none."""
    path = path_of(directory, pid)
    try:
        lost = read_in_flight(path) if died else None
        if lost is None:
            path.unlink(missing_ok=True)
            return 0
        path.rename(directory / f"{pid}-{time.time_ns()}.lost")
    except (OSError, ValueError) as error:
        _log.error("nobody knows what a process had in flight", extra={"pid": pid, "reason": str(error)})
        return 0
    return sum(arm.requests for arm in lost.arms)


def lost_files(directory: Path) -> list[Path]:
    return sorted(directory.glob("*.lost"))


def all_lost(directory: Path) -> Iterator[tuple[Path, InFlight]]:
    """What was left, file by file; one that cannot be read is dropped, and the log says so."""
    for path in lost_files(directory):
        try:
            lost = read_in_flight(path)
        except (OSError, ValueError) as error:
            _log.error("nobody knows what a process had in flight", extra={"path": str(path), "reason": str(error)})
            lost = None
        if lost is None:
            path.unlink(missing_ok=True)
        else:
            yield path, lost
