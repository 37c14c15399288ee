"""How much memory may still be taken here: by the machine, and by the control groups that bound this process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

_UNLIMITED = 2**60  # version 1 writes a number near 2^63 where there is no limit


def free_bytes(root: Path = Path("/")) -> int | None:
    """The least of what the machine has left (swap included) and what each control group above this process leaves,
    with the page cache that it would give up; None where the system does not tell. Linux: proc_meminfo(5),
    cgroups(7), and the kernel's cgroup-v1/memory.rst and cgroup-v2.rst."""
    found = [each for each in (_machine(root), *_groups(root)) if each is not None]
    return max(0, min(found)) if found else None


def _machine(root: Path) -> int | None:
    fields = _fields(root / "proc/meminfo")
    available = fields.get("MemAvailable:")
    return None if available is None else 1024 * (available + fields.get("SwapFree:", 0))


def _groups(root: Path) -> Iterator[int | None]:
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers:
            for group in _upwards(root / "sys/fs/cgroup", path):
                yield _left(group, "memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            for group in _upwards(root / "sys/fs/cgroup/memory", path):
                yield _left(group, "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def _upwards(top: Path, path: str) -> Iterator[Path]:
    """A group and all above it. In a container the path may be the host's, which is not there: then only `top` is."""
    group = top / path.lstrip("/")
    while group != top and group.is_relative_to(top):
        yield group
        group = group.parent
    yield top


def _left(group: Path, limit: str, used: str, cache: str) -> int | None:
    most, now = _number(group / limit), _number(group / used)
    if most is None or now is None or most >= _UNLIMITED:
        return None
    return most - now + _fields(group / "memory.stat").get(cache, 0)


def _number(path: Path) -> int | None:
    text = _text(path).strip()
    return int(text) if text.isdecimal() else None  # "max": no limit


def _fields(path: Path) -> dict[str, int]:
    rows = (line.split() for line in _text(path).splitlines())
    return {row[0]: int(row[1]) for row in rows if len(row) > 1 and row[1].isdecimal()}


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
