"""How many requests each arm has in flight, in a file that outlives the process that writes it.

A candidate that kills its process must not take its evidence with it. Each process has PID.in_flight: SLOTS numbers of
8 bytes, mapped into memory (what is stored there is the file's, however the process ends), then lines of JSON: the
incarnation, and for each number that was ever used [slot, release, step, arm]; the last line of a slot counts.

It imports little: a process that only watches others reads it.
"""

from __future__ import annotations

import json
import logging
import mmap
import os
import struct
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_log = logging.getLogger(__name__)

SLOTS = 1024
_COUNTS = struct.Struct(f"={SLOTS}q")


@dataclass(frozen=True, slots=True)
class ArmInFlight:
    """`requests` of an arm in a step of a release."""

    release: str
    step: int
    arm: str
    requests: int


@dataclass(frozen=True, slots=True)
class InFlight:
    """What an incarnation of a process has, or had when it died, in flight."""

    incarnation: str
    arms: tuple[ArmInFlight, ...]


class InFlightLedger:
    """The numbers of this process. Raises OSError when the file cannot be made whole."""

    def __init__(self, directory: Path, incarnation: str) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC
        self._file = os.open(path_of(directory, os.getpid()), flags, 0o600)
        # Written, not left out: a page that finds no room on the disk when it is stored to would kill the process.
        self._append(bytes(_COUNTS.size) + _line([incarnation]))
        self._counts = memoryview(mmap.mmap(self._file, _COUNTS.size)).cast("q")
        self._slots: dict[tuple[str, int, str], int] = {}
        self._free = deque(range(SLOTS))  # the one that was free for longest is next

    def take(self, release: str, step: int, arm: str) -> memoryview | list[int]:
        """A number of the file, or one of this process alone where the file has no room."""
        if not self._free:
            return [0]
        slot = self._free.popleft()
        try:
            self._append(_line([slot, release, step, arm]))
        except OSError as error:
            _log.error("what is in flight is not on record", extra={"release": release, "reason": str(error)})
            self._free.append(slot)
            return [0]
        self._slots[release, step, arm] = slot
        return self._counts[slot : slot + 1]

    def give_back(self, release: str, step: int, arm: str) -> None:
        """Its number is not used again unless it is 0: who is still in flight counts down."""
        slot = self._slots.pop((release, step, arm), None)
        if slot is not None and self._counts[slot] == 0:
            self._free.append(slot)

    def _append(self, data: bytes) -> None:
        if os.write(self._file, data) != len(data):
            raise OSError("the disk is full")


def path_of(directory: Path, pid: int) -> Path:
    return directory / f"{pid}.in_flight"


def read_in_flight(path: Path) -> InFlight | None:
    """What the writer had in flight; None without a file, or when it had nothing. Raises ValueError for a file that
    no ledger wrote."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    if len(data) < _COUNTS.size:
        return None  # its process died before it served
    counts = _COUNTS.unpack_from(data)
    if not any(counts):
        return None
    try:
        [incarnation], *slots = _lines(data[_COUNTS.size :])
        names = {slot: (str(release), int(step), str(arm)) for slot, release, step, arm in slots}
        arms = tuple(ArmInFlight(*names[slot], count) for slot, count in enumerate(counts) if count > 0)
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{path.name} does not say what was in flight: {error!r}") from error
    return InFlight(str(incarnation), arms) if arms else None


def _line(entry: list[str | int]) -> bytes:
    return json.dumps(entry).encode() + b"\n"


def _lines(data: bytes) -> Iterator[list[str | int]]:
    """Without one that was not written to its end."""
    for line in data.split(b"\n")[:-1]:
        yield json.loads(line)
