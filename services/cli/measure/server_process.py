"""A server under measurement: its processes, the CPU time they take and the memory they hold (proc(5), Linux)."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from services.cli.measure.load import MeasurementFailed

START_S, STOP_S, IDLE_S = 120.0, 15.0, 15.0
_POLL_S = 0.02
_IDLE_TURN_S = 0.15
_IDLE_SHARE = 0.2  # of one core: what loops and heartbeats of an idle server may take
TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_PROC = Path("/proc")
_ENDED = ("Z", "X")  # a state: nobody has asked yet how it ended


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of several processes. `proportional`: each shared page is divided by those who share it (PSS); else the
    system gave only resident bytes, in which pages that the processes share count once for each. `anonymous_bytes` are
    those of no file, which do not depend on who else has the same libraries open; 0 where the system does not tell."""

    size_bytes: int
    proportional: bool
    anonymous_bytes: int = 0


@dataclass(frozen=True, slots=True)
class ProcessStat:
    """One process as the kernel counts it; `started_at` in ticks since the machine's start."""

    pid: int
    parent: int
    cpu_s: float
    started_at: int

    def still_runs(self) -> bool:
        """Whether it is there now; its number may be another's by then, which the time of its start tells."""
        now = process_stat(self.pid)
        return now is not None and now.started_at == self.started_at


class ServerProcess:
    """A started server and everything below it; `log` has what it wrote."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self._process, self.log = process, log

    def pids(self) -> list[int]:
        """Every process of the server, the one that was started first."""
        return [each.pid for each in self._running()]

    def cpu_s(self) -> float:
        """CPU seconds, user and system, that the processes which run now have used."""
        return sum(each.cpu_s for each in self._running())

    def memory(self) -> Memory:
        return memory_of(self.pids())

    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def wait_idle(self) -> None:
        """Returns when the server does nothing more of what was asked of it, and after IDLE_S whatever it does."""
        end, before = time.monotonic() + IDLE_S, self.cpu_s()
        while time.monotonic() < end:
            time.sleep(_IDLE_TURN_S)
            now = self.cpu_s()
            if now - before <= _IDLE_SHARE * _IDLE_TURN_S + TICK_S / 2:
                return
            before = now

    def stop(self) -> None:
        """SIGTERM, some time, then SIGKILL for what is left; returns when nothing is left."""
        everything = self._running()
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_S)
        left = [each for each in everything if each.still_runs()]
        for each in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(each.pid, signal.SIGKILL)
        self._process.wait()
        end = time.monotonic() + STOP_S
        while any(each.still_runs() for each in left) and time.monotonic() < end:
            time.sleep(_POLL_S)

    def _running(self) -> list[ProcessStat]:
        every = [
            stat for entry in _PROC.iterdir() if entry.name.isdecimal() and (stat := process_stat(int(entry.name)))
        ]
        return with_descendants(self._process.pid, every)


@contextlib.contextmanager
def started(
    command: Sequence[str],
    environment: Mapping[str, str],
    log: Path,
    ready: Callable[[ServerProcess], bool],
    *,
    directory: Path | None = None,
) -> Iterator[ServerProcess]:
    """Runs a server until the block ends, which begins when `ready` says so. Raises MeasurementFailed, with the end of
    its log, when it does not get there. A terminal's Ctrl-C does not reach the server: leaving the block stops it."""
    with log.open("ab") as file:
        process = subprocess.Popen(  # noqa: S603 - the caller's own command
            command, env=dict(environment), stdin=subprocess.DEVNULL, stdout=file, stderr=file,
            start_new_session=True, cwd=directory,
        )  # fmt: skip
    server = ServerProcess(process, log)
    try:
        end = time.monotonic() + START_S
        while not ready(server):
            if server.has_ended() or time.monotonic() > end:
                what = "ended" if server.has_ended() else f"was not ready after {START_S:.0f} s"
                raise MeasurementFailed(f"{' '.join(command[:4])} {what}: {last_words(log)}")
            time.sleep(_POLL_S)
        yield server
    finally:
        server.stop()


def free_port() -> int:
    """A port of the loopback interface that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def last_words(log: Path, lines: int = 3) -> str:
    """The end of a log, for a message."""
    try:
        said = log.read_text(errors="replace").strip().splitlines()
    except OSError:
        said = []
    return " / ".join(said[-lines:]) or "it wrote nothing"


def process_stat(pid: int) -> ProcessStat | None:
    """What the kernel counts of a process with all its threads; None when it has ended."""
    try:
        line = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    return None if line.rpartition(")")[2].split()[0] in _ENDED else parse_stat(line)


def parse_stat(line: str) -> ProcessStat:
    """/proc/PID/stat: fields 4 ppid, 14 utime, 15 stime, 22 starttime; the name in field 2 may hold anything."""
    fields = line.rpartition(")")[2].split()  # from field 3 on
    return ProcessStat(
        pid=int(line.partition(" ")[0]),
        parent=int(fields[1]),
        cpu_s=(int(fields[11]) + int(fields[12])) * TICK_S,
        started_at=int(fields[19]),
    )


def with_descendants(root: int, processes: Sequence[ProcessStat]) -> list[ProcessStat]:
    """The process `root` and everything below it, parents before their children; empty when it is not there."""
    found = [each for each in processes if each.pid == root]
    for each in found:  # grows while it is read
        found += [child for child in processes if child.parent == each.pid]
    return found


def memory_of(pids: Sequence[int]) -> Memory:
    """Proportional where the system tells it of every process (smaps_rollup), else resident."""
    shares = [_kilobytes(_PROC / str(pid) / "smaps_rollup", "Pss:") for pid in pids]
    if shares and None not in shares:
        anonymous = sum(_kilobytes(_PROC / str(pid) / "smaps_rollup", "Pss_Anon:") or 0 for pid in pids)
        return Memory(1024 * sum(share or 0 for share in shares), proportional=True, anonymous_bytes=1024 * anonymous)
    resident = [_kilobytes(_PROC / str(pid) / "status", "VmRSS:") for pid in pids]
    return Memory(1024 * sum(each or 0 for each in resident), proportional=False)


def _kilobytes(path: Path, name: str) -> int | None:
    try:
        for line in path.read_text().splitlines():
            if line.startswith(name):
                return int(line.split()[1])
    except OSError:  # it has ended, or belongs to somebody else
        return None
    return None
