"""What the system tells of processes, read when somebody asks: about a millisecond for each (proc(5))."""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from services.shared.telemetry.exposition import Told, exposed, told
from services.shared.telemetry.family import Family, Label, counter, gauge
from services.shared.version import VERSION

_PID = Label("pid", "the service's living processes")
_BUILD = gauge(
    "grayscale_build_info", "1, with what runs in the labels", "",
    Label("version", "the one that is installed"), Label("python", "the one that runs it"),
)  # fmt: skip
_PSS = gauge(
    "grayscale_process_pss_bytes",
    "Proportional set size: a page that several processes share is divided among them, so that sums are true",
    "bytes", _PID,
)  # fmt: skip
_CPU = counter("grayscale_process_cpu_seconds_total", "CPU time, of the user and of the system", "seconds", _PID)
_START = gauge(
    "grayscale_process_start_time_seconds", "When a process began, in Unix time; `time() - x` is its age", "seconds",
    _PID,
)  # fmt: skip
_OPEN_FDS = gauge("grayscale_process_open_fds", "File descriptors that are open", "descriptors", _PID)
_MAX_FDS = gauge("grayscale_process_max_fds", "File descriptors that may be open", "descriptors", _PID)
FAMILIES = (_BUILD, _PSS, _CPU, _START, _OPEN_FDS, _MAX_FDS)
PSS_NAME = _PSS.name


@dataclass(frozen=True, slots=True)
class ProcessNumbers:
    """None where the system does not tell: another system, another user's process, or one that has ended."""

    pss_bytes: int | None = None
    cpu_s: float | None = None
    started_at: float | None = None
    open_fds: int | None = None
    max_fds: int | None = None


def numbers_of(pid: int, proc: Path = Path("/proc")) -> ProcessNumbers:
    own = proc / str(pid)
    cpu_s, started_at = _times(own / "stat", proc / "stat")
    return ProcessNumbers(pss_bytes(pid, proc), cpu_s, started_at, _entries(own / "fd"), _max_fds(own / "limits"))


def render_processes(pids: Iterable[int], proc: Path = Path("/proc")) -> bytes:
    """Of a service's processes, and of what is installed."""
    found = [(str(pid), numbers_of(pid, proc)) for pid in pids]

    def each(family: Family, values: Iterable[float | None]) -> Iterator[Told]:
        return told(
            family, [((pid,), value) for (pid, _), value in zip(found, values, strict=True) if value is not None]
        )

    return exposed(
        told(_BUILD, [((VERSION, platform.python_version()), 1)]),
        each(_PSS, [numbers.pss_bytes for _, numbers in found]),
        each(_CPU, [numbers.cpu_s for _, numbers in found]),
        each(_START, [numbers.started_at for _, numbers in found]),
        each(_OPEN_FDS, [numbers.open_fds for _, numbers in found]),
        each(_MAX_FDS, [numbers.max_fds for _, numbers in found]),
    )


def pss_bytes(pid: int, proc: Path = Path("/proc")) -> int | None:
    return _number(proc / str(pid) / "smaps_rollup", "Pss:", 1024)


def _times(stat: Path, system: Path) -> tuple[float | None, float | None]:
    """CPU seconds, and the start in Unix seconds."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        # The name, the second field, is in parentheses and may hold blanks and parentheses itself.
        fields = stat.read_text().rpartition(")")[2].split()
        ticks_hz = os.sysconf("SC_CLK_TCK")
        user, in_kernel, start = int(fields[11]), int(fields[12]), int(fields[19])
        booted_at = _number(system, "btime")
        return (user + in_kernel) / ticks_hz, None if booted_at is None else booted_at + start / ticks_hz
    return None, None


def _max_fds(limits: Path) -> int | None:
    return _number(limits, "Max open files")


def _entries(directory: Path) -> int | None:
    with contextlib.suppress(OSError):
        return sum(1 for _ in os.scandir(directory))
    return None


def _number(path: Path, name: str, scale: int = 1) -> int | None:
    """The first number behind a name at a line's beginning; None where there is none."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in path.read_text().splitlines():
            if line.startswith(name):
                return int(line[len(name) :].split()[0]) * scale
    return None
