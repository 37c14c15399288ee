"""The sum over processes, while they write, are asked and end: it never goes back, and counts nothing twice."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from services.shared.telemetry.process_metrics import PSS_NAME
from services.shared.telemetry.sum_over_processes import SharedMetrics, add_ended, read_total, retire


def exposition(count: float, open_: int = 1) -> bytes:
    return f"# TYPE done_total counter\ndone_total {count}\n# TYPE open gauge\nopen {open_}\n".encode()


def value(text: bytes, name: str = "done_total") -> float:
    return next((float(line.split()[1]) for line in text.decode().splitlines() if line.startswith(f"{name} ")), 0.0)


class Process:
    """One process's part: what it has counted is `count`."""

    def __init__(self, directory: Path, pid: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0.0
        with monkeypatch.context() as patch:
            patch.setattr(os, "getpid", lambda: pid)
            self.metrics = SharedMetrics(directory, lambda: exposition(self.count))

    def asked(self) -> float:
        return value(self.metrics.total())


def test_every_process_gives_the_same_sum(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    processes = [Process(tmp_path, pid, monkeypatch) for pid in (1, 2, 3)]
    for count, process in enumerate(processes, 1):
        process.count = 10.0**count
        process.metrics.publish()
    assert [process.asked() for process in processes] == [1110.0] * 3
    assert value(processes[0].metrics.total(), "open") == 3


def test_what_one_process_has_shown_no_other_takes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = (Process(tmp_path, pid, monkeypatch) for pid in (1, 2))
    shown = 0.0
    for process in itertools.islice(itertools.cycle((one, other)), 10):
        one.count += 3
        other.count += 1
        total = process.asked()  # fresh of itself, and without waiting for the other's next publishing
        assert total >= shown
        shown = total
    retire(tmp_path, 1)  # killed: what it counted since is lost, what it showed is not
    assert other.asked() >= shown


def test_an_ended_process_counts_once_and_no_longer_as_alive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = (Process(tmp_path, pid, monkeypatch) for pid in (1, 2))
    one.count, other.count = 5.0, 2.0
    one.metrics.publish()
    retire(tmp_path, 1)
    assert other.asked() == 7.0
    assert value(other.metrics.total(), "open") == 1
    for pid in (1, 9):
        retire(tmp_path, pid)
    assert other.asked() == 7.0


def test_a_half_written_file_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = (Process(tmp_path, pid, monkeypatch) for pid in (1, 2))
    one.count = 5.0
    one.metrics.publish()
    written: list[Path] = []
    replace = Path.replace

    def late(fresh: Path, target: Path) -> Path:
        if target.name == "1.prom":
            written.append(fresh)
            fresh.write_text("# TYPE done_total cou")  # as another process sees it before it is whole
            assert other.asked() == 5.0
            fresh.write_bytes(exposition(6.0))
        return replace(fresh, target)

    monkeypatch.setattr(Path, "replace", late)
    one.metrics.publish()
    assert written
    assert other.asked() == 6.0


def _count(directory: Path, ended: Event, limit: int) -> None:
    """A process that counts and publishes as fast as it can."""
    count = itertools.count()
    metrics = SharedMetrics(directory, lambda: exposition(next(count)))
    for _ in range(limit):
        metrics.publish()
    ended.set()


def test_sums_taken_while_processes_write_and_end_never_go_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spawn = multiprocessing.get_context("spawn")
    writers = [(ended := spawn.Event(), spawn.Process(target=_count, args=(tmp_path, ended, 300))) for _ in range(4)]
    one, other = (Process(tmp_path, pid, monkeypatch) for pid in (1, 2))
    left = threading.Event()

    def ask(process: Process) -> list[float]:
        sums = []
        while not left.is_set():
            process.count += 1
            sums.append(process.asked())
        return sums

    with ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(ask, process) for process in (one, other)]
        for ended, writer in writers:  # one after the other, so that asking and ending meet often
            writer.start()
            assert ended.wait(60)
            writer.join(60)
            assert writer.pid is not None
            retire(tmp_path, writer.pid)
        left.set()
        for sums in (each.result() for each in asked):
            assert len(sums) > 10
            assert sums == sorted(sums)
    assert one.asked() == 4 * 299 + one.count + other.count
    for _, writer in writers:
        writer.close()


def test_the_memory_of_each_process_and_of_their_parent_is_told(tmp_path: Path) -> None:
    metrics = SharedMetrics(tmp_path, lambda: exposition(1))
    (tmp_path / "ended.prom").write_text(exposition(5).decode())
    told = [line.split('"')[1] for line in metrics.total().decode().splitlines() if line.startswith(PSS_NAME)]
    assert told == [str(os.getppid()), str(os.getpid())]


def test_what_an_ended_process_could_not_count_is_added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = (Process(tmp_path, pid, monkeypatch) for pid in (1, 2))
    one.count = 10.0
    one.metrics.publish()
    retire(tmp_path, 1)
    for _ in range(2):
        add_ended(tmp_path, exposition(3.0).decode())
    assert other.asked() == 16.0
    assert value(other.metrics.total(), "open") == 1  # what is open ended with its process


def told(**releases: int) -> bytes:
    lines = "".join(
        f'grayscale_release_requests_total{{release="{release}",step="1",arm="stable",source="live"}} {count}\n'
        for release, count in releases.items()
    )
    return f"# TYPE grayscale_release_requests_total counter\n{lines}".encode()


def requests(text: bytes) -> dict[str, float]:
    lines = [line for line in text.decode().splitlines() if line.startswith("grayscale_release_requests_total{")]
    return {line.split('"')[1]: float(line.split()[-1]) for line in lines}


def test_a_release_that_a_process_forgets_is_gone_from_every_sum_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = {pid: {"old": 10 * pid, "new": pid} for pid in (1, 2, 3)}
    processes: dict[int, SharedMetrics] = {}
    for pid, counts in counted.items():
        with monkeypatch.context() as patch:
            patch.setattr(os, "getpid", lambda pid=pid: pid)
            processes[pid] = SharedMetrics(tmp_path, lambda counts=counts: told(**counts))  # type: ignore[misc]
        processes[pid].publish()
    retire(tmp_path, 3)
    assert requests(processes[1].total()) == {"old": 60, "new": 6}
    del counted[1]["old"]
    assert requests(processes[1].total()) == {"new": 6}
    assert requests(processes[2].total()) == {"new": 6}  # though it still counts the other
    assert requests(read_total(tmp_path)) == {"new": 6}
    retire(tmp_path, 2)
    add_ended(tmp_path, told(old=5, new=1).decode())
    assert requests(processes[1].total()) == {"new": 7}
    assert "old" not in (tmp_path / "ended.prom").read_text()


def test_what_only_ended_processes_counted_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, "getpid", lambda: 1)
        living = SharedMetrics(tmp_path, lambda: told(new=1))
    add_ended(tmp_path, told(old=5, new=1).decode())
    for _ in range(2):
        assert requests(living.total()) == {"old": 5, "new": 2}
