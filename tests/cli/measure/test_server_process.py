"""Servers as processes: started, counted, stopped with everything below them. Real processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from services.cli.measure import server_process as module
from services.cli.measure.load import MeasurementFailed
from services.cli.measure.server_process import (
    TICK_S,
    ProcessStat,
    ServerProcess,
    last_words,
    memory_of,
    parse_stat,
    process_stat,
    started,
    with_descendants,
)

# Starts a child of its own, says who both are, and waits; a word makes it deaf to SIGTERM, or end at once.
SCRIPT = """
import os, signal, subprocess, sys, time
word = sys.argv[1]
if word == "ends":
    sys.exit("no models here")
if word == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"], stdout=-1)
child.stdout.readline()
print("ready", os.getpid(), child.pid, flush=True)
if word == "busy":
    end = time.process_time() + 0.3
    while time.process_time() < end:
        pass
    print("done", flush=True)
time.sleep(600)
"""


def command(word: str) -> list[str]:
    return [sys.executable, "-c", SCRIPT, word]


def says(word: str) -> Callable[[ServerProcess], bool]:
    return lambda server: word in server.log.read_text()


def is_alive(pid: int) -> bool:
    return process_stat(pid) is not None


def pids_in(log: Path) -> list[int]:
    return [int(pid) for pid in log.read_text().split()[1:3]]


def test_a_server_is_stopped_with_its_block(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with started(command("waits"), os.environ, log, says("ready")) as server:
        pids = server.pids()
        assert pids == pids_in(log)
        assert not server.has_ended()
    assert not any(is_alive(pid) for pid in pids)


def test_what_does_not_listen_to_sigterm_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STOP_S", 0.1)
    log = tmp_path / "log"
    with started(command("deaf"), os.environ, log, says("ready")):
        pids = pids_in(log)
    assert not any(is_alive(pid) for pid in pids)


def test_an_interrupted_measurement_stops_its_server(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with pytest.raises(KeyboardInterrupt), started(command("waits"), os.environ, log, says("ready")):
        raise KeyboardInterrupt
    assert not any(is_alive(pid) for pid in pids_in(log))


def test_a_server_that_ends_says_why(tmp_path: Path) -> None:
    with (
        pytest.raises(MeasurementFailed, match="ended: no models here"),
        started(command("ends"), os.environ, tmp_path / "log", says("ready")),
    ):
        pytest.fail("it never got ready")


def test_a_server_that_does_not_get_ready_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "START_S", 0.05)
    with (
        pytest.raises(MeasurementFailed, match="was not ready"),
        started(command("waits"), os.environ, tmp_path / "log", says("never said")),
    ):
        pytest.fail("it never got ready")


def test_cpu_time_is_that_of_all_processes(tmp_path: Path) -> None:
    with started(command("busy"), os.environ, tmp_path / "log", says("done")) as server:
        assert server.cpu_s() >= 0.3 - TICK_S
        server.wait_idle()
        before = server.cpu_s()
        server.wait_idle()
        assert server.cpu_s() - before < 0.1


def test_waiting_for_a_busy_server_has_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "IDLE_S", 0.2)
    spin = [sys.executable, "-c", "print('ready', flush=True)\nwhile True: pass"]
    with started(spin, os.environ, tmp_path / "log", says("ready")) as server:
        begin = time.monotonic()
        server.wait_idle()
        assert time.monotonic() - begin >= 0.2
        assert not server.has_ended()


def test_memory_is_proportional_where_the_system_tells(tmp_path: Path) -> None:
    with started(command("waits"), os.environ, tmp_path / "log", says("ready")) as server:
        memory = server.memory()
        alone = [memory_of([pid]).size_bytes for pid in server.pids()]
    assert memory.proportional == Path("/proc/self/smaps_rollup").exists()
    assert memory.size_bytes == pytest.approx(sum(alone), rel=0.05)
    assert memory.size_bytes > 1_000_000


def test_memory_is_resident_where_it_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "status").write_text("Name:\tx\nVmRSS:\t   2000 kB\n")
    monkeypatch.setattr(module, "_PROC", tmp_path)
    assert memory_of([7]) == module.Memory(2_048_000, proportional=False)
    (tmp_path / "7" / "smaps_rollup").write_text("Rss: 2000 kB\nPss: 1000 kB\nPss_Anon: 5 kB\n")
    assert memory_of([7]) == module.Memory(1_024_000, proportional=True, anonymous_bytes=5120)
    assert memory_of([7, 8]) == module.Memory(2_048_000, proportional=False)  # 8 has ended


def test_a_process_name_may_hold_anything() -> None:
    line = "41 (a) b (c) S 40 " + " ".join(str(n) for n in range(5, 53))
    assert parse_stat(line) == ProcessStat(41, 40, (14 + 15) * TICK_S, 22)


def test_the_kernel_says_of_this_process_what_python_does() -> None:
    stat = process_stat(os.getpid())
    assert stat is not None
    assert stat.parent == os.getppid()
    assert stat.cpu_s == pytest.approx(sum(os.times()[:2]), abs=0.1)


def test_a_process_that_ended_has_no_numbers() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert process_stat(process.pid) is None


@pytest.mark.parametrize(
    ("root", "expected"),
    [(1, [1, 2, 4, 3, 5]), (2, [2, 3]), (5, [5]), (9, [])],
)
def test_descendants_come_after_their_parents(root: int, expected: list[int]) -> None:
    tree = [ProcessStat(pid, parent, 0.0, 0) for pid, parent in ((5, 4), (1, 0), (2, 1), (3, 2), (4, 1), (8, 0))]
    assert [each.pid for each in with_descendants(root, tree)] == expected


def test_the_end_of_a_log_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("a\nb\nc\nd\n")
    assert last_words(tmp_path / "log") == "b / c / d"
    assert last_words(tmp_path / "none") == "it wrote nothing"
