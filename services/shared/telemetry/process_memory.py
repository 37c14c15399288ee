"""The memory that processes hold, read when somebody asks: about a millisecond for each (proc_pid_smaps_rollup(5))."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

NAME = "grayscale_process_pss_bytes"
_HELP = "Proportional set size: a page that several processes share is divided among them, so that sums are true"


def pss_bytes(pid: int, proc: Path = Path("/proc")) -> int | None:
    """None where the system does not tell: another system, another user's process, or one that has ended."""
    try:
        for line in (proc / str(pid) / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        return None
    return None


def render_memory(pids: Iterable[int], proc: Path = Path("/proc")) -> str:
    """One gauge for each process, in Prometheus' text format; empty where nothing can be told."""
    found = {pid: pss_bytes(pid, proc) for pid in pids}
    samples = [f'{NAME}{{pid="{pid}"}} {size}' for pid, size in found.items() if size is not None]
    return "\n".join([f"# HELP {NAME} {_HELP}", f"# TYPE {NAME} gauge", *samples, ""]) if samples else ""
