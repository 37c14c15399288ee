"""How much memory is left, read from the files that Linux has for it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from services.shared.free_memory import free_bytes

MB = 2**20


def written(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


MACHINE = {"proc/meminfo": f"MemTotal: {16 << 20} kB\nMemAvailable: {8 << 20} kB\nSwapFree: {1 << 20} kB\n"}
V2 = "sys/fs/cgroup/"
V1 = "sys/fs/cgroup/memory/"


def group(at: str, limit: str, used: int, cache: int = 0) -> dict[str, str]:
    if at.startswith(V1):
        names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
    else:
        names = ("memory.max", "memory.current", "inactive_file")
    return {at + names[0]: limit, at + names[1]: str(used), at + "memory.stat": f"anon 7\n{names[2]} {cache}\n"}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, None),
        ({"proc/meminfo": "MemTotal: 5 kB\n"}, None),
        (MACHINE, 9 << 30),
        ({**MACHINE, "proc/self/cgroup": "0::/\n"}, 9 << 30),
        ({**MACHINE, "proc/self/cgroup": "0::/\n", **group(V2, "max\n", 5 * MB)}, 9 << 30),
        ({**MACHINE, "proc/self/cgroup": "0::/\n", **group(V2, f"{100 * MB}\n", 60 * MB, 10 * MB)}, 50 * MB),
        # over its limit for a moment, as it may be
        ({**MACHINE, "proc/self/cgroup": "0::/\n", **group(V2, f"{100 * MB}\n", 160 * MB)}, 0),
        # the tightest of the groups above counts
        (
            {
                "proc/self/cgroup": "0::/pod/box\n",
                **group(V2 + "pod/box/", "max", 0),
                **group(V2 + "pod/", f"{70 * MB}", 0),
            },
            70 * MB,
        ),
        # version 1, alone and beside others, without a limit, and in a container that cannot see its own path
        (
            {
                **MACHINE,
                "proc/self/cgroup": "3:cpu:/a\n2:hugetlb,memory:/a\n",
                **group(V1 + "a/", str(64 * MB), MB, 2 * MB),
            },
            65 * MB,
        ),
        ({**MACHINE, "proc/self/cgroup": "2:memory:/a\n", **group(V1 + "a/", str(2**63 - 4096), MB)}, 9 << 30),
        ({**MACHINE, "proc/self/cgroup": "2:memory:/docker/f00\n", **group(V1, str(32 * MB), MB)}, 31 * MB),
        ({**MACHINE, "proc/self/cgroup": "nonsense\n2:cpu\n"}, 9 << 30),
    ],
)
def test_the_least_of_what_anybody_leaves_is_free(tmp_path: Path, files: dict[str, str], expected: int | None) -> None:
    assert free_bytes(written(tmp_path, files)) == expected


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads Linux' files")
def test_this_machine_tells() -> None:
    found = free_bytes()
    assert found is not None
    assert found > 0
