"""What the system tells of processes."""

from __future__ import annotations

import mmap
import os
import platform
import resource
import sys
import time
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from services.shared.telemetry.process_metrics import PSS_NAME, ProcessNumbers, numbers_of, pss_bytes, render_processes
from services.shared.version import VERSION

# A name with a blank and a parenthesis in it, which stands in parentheses: proc_pid_stat(5).
STAT = "7 (a b) c) S 1 7 7 0 -1 4194560 100 0 0 0 {user} {system} 0 0 20 0 1 0 {start} 1000 100 0 0 0"
TICKS_HZ = os.sysconf("SC_CLK_TCK")


def write(proc: Path, pid: int, **files: str) -> None:
    (proc / str(pid)).mkdir()
    for name, text in files.items():
        (proc / str(pid) / name).write_text(text)


def shown(text: bytes) -> dict[str, dict[str, float]]:
    """By name and process id."""
    return {
        family.name: {sample.labels["pid"]: sample.value for sample in family.samples if "pid" in sample.labels}
        for family in text_string_to_metric_families(text.decode())
    }


@pytest.mark.skipif(sys.platform != "linux", reason="proc(5)")
def test_the_memory_of_this_process_grows_by_what_it_touches() -> None:
    size = 64 * 1024 * 1024
    before = pss_bytes(os.getpid())
    with mmap.mmap(-1, size) as touched:
        for start in range(0, size, mmap.PAGESIZE):
            touched[start] = 1
        after = pss_bytes(os.getpid())
    assert before is not None
    assert after is not None
    assert 0.9 * size < after - before < 1.5 * size


@pytest.mark.skipif(sys.platform != "linux", reason="proc(5)")
def test_this_process_is_told_of_as_it_is() -> None:
    with Path(__file__).open() as opened:
        numbers = numbers_of(os.getpid())
        assert numbers.open_fds is not None
        assert numbers.open_fds > opened.fileno() // 2
    assert numbers.max_fds == resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    assert numbers.cpu_s is not None
    assert 0 < numbers.cpu_s <= time.process_time() + 2 / TICKS_HZ
    assert numbers.started_at is not None
    assert 0 <= time.time() - numbers.started_at < 7 * 86400


@pytest.mark.parametrize("text", ["", "Rss: 12 kB\n", "5581 ---p 00000000 00:00 0 [rollup]\nPss_Dirty: 3 kB\n"])
def test_what_the_system_does_not_tell_is_none(tmp_path: Path, text: str) -> None:
    write(tmp_path, 7, smaps_rollup=text, stat="7 (a", limits="")
    assert numbers_of(7, tmp_path) == ProcessNumbers(open_fds=None)
    assert numbers_of(8, tmp_path) == ProcessNumbers()
    assert not any(shown(render_processes([7, 8], tmp_path)).values())


def test_times_are_read_behind_a_name_with_parentheses(tmp_path: Path) -> None:
    (tmp_path / "stat").write_text("cpu 1 2 3\nbtime 1800000000\nprocesses 4\n")
    write(tmp_path, 7, stat=STAT.format(user=3 * TICKS_HZ, system=TICKS_HZ // 2, start=60 * TICKS_HZ))
    numbers = numbers_of(7, tmp_path)
    assert (numbers.cpu_s, numbers.started_at) == (3.5, 1_800_000_060.0)


def test_there_is_one_series_for_each_process_that_is_there(tmp_path: Path) -> None:
    limits = "Limit  Soft Limit  Hard Limit  Units\nMax open files            1024        4096        files\n"
    write(tmp_path, 7, smaps_rollup="Rss: 99 kB\nPss: 12 kB\nPss_Dirty: 3 kB\n", limits=limits)
    write(tmp_path, 9, smaps_rollup="Pss: 1 kB\n")
    (tmp_path / "9" / "fd").mkdir()
    found = shown(render_processes([7, 8, 9], tmp_path))
    assert found[PSS_NAME] == {"7": 12288, "9": 1024}
    assert found["grayscale_process_max_fds"] == {"7": 1024}
    assert found["grayscale_process_open_fds"] == {"9": 0}


def test_what_is_installed_is_told_once(tmp_path: Path) -> None:
    [build, *_] = text_string_to_metric_families(render_processes([7, 8], tmp_path).decode())
    [sample] = build.samples
    assert sample.labels == {"version": VERSION, "python": platform.python_version()}
    assert sample.value == 1
