from __future__ import annotations

import mmap
import os
import sys
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from services.shared.telemetry.process_memory import pss_bytes, render_memory


def write(proc: Path, pid: int, text: str) -> None:
    (proc / str(pid)).mkdir()
    (proc / str(pid) / "smaps_rollup").write_text(text)


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


@pytest.mark.parametrize("text", ["", "Rss: 12 kB\n", "5581 ---p 00000000 00:00 0 [rollup]\nPss_Dirty: 3 kB\n"])
def test_what_the_system_does_not_tell_is_none(tmp_path: Path, text: str) -> None:
    write(tmp_path, 7, text)
    assert pss_bytes(7, tmp_path) is None
    assert pss_bytes(8, tmp_path) is None
    assert render_memory([7, 8], tmp_path) == ""


def test_there_is_one_gauge_for_each_process_that_is_there(tmp_path: Path) -> None:
    write(tmp_path, 7, "Rss: 99 kB\nPss: 12 kB\nPss_Dirty: 3 kB\n")
    write(tmp_path, 9, "Pss: 1 kB\n")
    [family] = text_string_to_metric_families(render_memory([7, 8, 9], tmp_path))
    assert family.type == "gauge"
    assert {sample.labels["pid"]: sample.value for sample in family.samples} == {"7": 12288, "9": 1024}
