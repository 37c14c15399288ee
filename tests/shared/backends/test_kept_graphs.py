from __future__ import annotations

import errno
import logging
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest

from services.shared.backends.kept_graphs import GRAPH, MANIFEST, KeptGraphs
from services.shared.errors import InferenceFailed

WEIGHTS = f"{GRAPH}.data"


class Builds:
    """A build that writes what it is told, and counts."""

    def __init__(self, *, good: bool = True, size: int = 10) -> None:
        self.count, self.good, self.size = 0, good, size

    def __call__(self, directory: Path) -> bool:
        self.count += 1
        (directory / GRAPH).write_bytes(b"graph")
        (directory / WEIGHTS).write_bytes(b"w" * self.size)
        return self.good


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "model" / "1" / "model.onnx"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"a model")
    return path


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "data" / "kept"


@pytest.fixture
def kept(directory: Path) -> KeptGraphs:
    return KeptGraphs(directory)


def entries(directory: Path) -> list[Path]:
    return sorted(path for path in directory.iterdir() if not path.name.startswith("."))


def test_graph_is_built_once(kept: KeptGraphs, source: Path, directory: Path) -> None:
    build = Builds()
    first, second = kept.find(source, "t", build), KeptGraphs(directory).find(source, "t", build)
    assert first is not None
    assert first == second
    assert (build.count, first.read_bytes()) == (1, b"graph")
    assert [path.name for path in sorted(first.parent.iterdir())] == [GRAPH, WEIGHTS, MANIFEST]


@pytest.mark.parametrize("what", ["model", "weights beside it", "runtime or processor"])
def test_everything_that_the_graph_depends_on_makes_another(kept: KeptGraphs, source: Path, what: str) -> None:
    build, traits = Builds(), "t"
    first = kept.find(source, traits, build)
    if what == "model":
        source.write_bytes(b"another model")
    elif what == "weights beside it":
        (source.parent / "weights.bin").write_bytes(b"w")
    else:
        traits = "another"
    assert kept.find(source, traits, build) != first
    assert build.count == 2


@pytest.mark.parametrize("name", [GRAPH, WEIGHTS, MANIFEST])
@pytest.mark.parametrize("damage", ["changed", "truncated", "gone"])
def test_damaged_entry_is_built_again(kept: KeptGraphs, source: Path, name: str, damage: str) -> None:
    build = Builds()
    graph = kept.find(source, "t", build)
    assert graph is not None
    path = graph.parent / name
    if damage == "gone":
        path.unlink()
    else:
        data = path.read_bytes()
        path.write_bytes(b"X" + data[1:] if damage == "changed" else data[:-1] if name != MANIFEST else data[:20])
    assert kept.find(source, "t", build) == graph
    assert (build.count, graph.read_bytes()) == (2, b"graph")
    assert (graph.parent / WEIGHTS).read_bytes() == b"w" * 10


def test_manifest_that_leaves_the_graph_out_is_not_believed(kept: KeptGraphs, source: Path) -> None:
    build = Builds()
    graph = kept.find(source, "t", build)
    assert graph is not None
    (graph.parent / MANIFEST).write_text('{"format": 1, "usable": true, "sha256": {}}')
    kept.find(source, "t", build)
    assert build.count == 2


def test_graph_that_is_no_good_is_remembered_and_takes_no_room(kept: KeptGraphs, source: Path, directory: Path) -> None:
    build = Builds(good=False)
    assert kept.find(source, "t", build) is None
    assert kept.find(source, "t", build) is None
    assert build.count == 1
    assert [path.name for entry in entries(directory) for path in entry.iterdir()] == [MANIFEST]


def test_build_that_fails_is_tried_again_and_leaves_nothing(
    kept: KeptGraphs, source: Path, directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(directory: Path) -> bool:
        (directory / GRAPH).write_bytes(b"half")
        raise InferenceFailed("cannot be written")

    assert kept.find(source, "t", fail) is None
    assert "cannot be written" in caplog.text
    assert [path.name for path in directory.iterdir()] == [".lock"]
    assert kept.find(source, "t", Builds()) is not None


def test_what_a_killed_process_left_behind_is_removed(kept: KeptGraphs, source: Path, directory: Path) -> None:
    kept.find(source, "t", Builds())
    left = directory / ".unfinished-abc"
    left.mkdir()
    (left / WEIGHTS).write_bytes(b"w" * 1000)
    kept.find(source, "another", Builds())
    assert not left.exists()


@pytest.mark.parametrize("mode", [0o770, 0o777, 0o750, 0o701])
def test_directory_that_others_may_use_is_not_trusted(
    kept: KeptGraphs, source: Path, directory: Path, mode: int, caplog: pytest.LogCaptureFixture
) -> None:
    build = Builds()
    kept.find(source, "t", build)
    directory.chmod(mode)
    assert kept.find(source, "t", build) is None
    assert (build.count, "can be used by others" in caplog.text) == (1, True)


def test_link_to_a_directory_is_not_trusted(source: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / "kept").symlink_to(tmp_path / "elsewhere")
    assert KeptGraphs(tmp_path / "kept").find(source, "t", Builds()) is None


def test_directory_of_another_user_is_not_trusted(
    kept: KeptGraphs, source: Path, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept.find(source, "t", Builds())
    monkeypatch.setattr("services.shared.backends.kept_graphs.os.geteuid", lambda: os.getuid() + 1)
    assert kept.find(source, "t", Builds()) is None


def test_directory_is_made_for_this_user_alone(kept: KeptGraphs, source: Path, directory: Path) -> None:
    kept.find(source, "t", Builds())
    assert directory.stat().st_mode & 0o777 == 0o700


def test_directory_that_cannot_be_made_costs_the_graph_only(
    source: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert KeptGraphs(tmp_path / "file" / "kept").find(source, "t", Builds()) is None
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


def test_full_disk_is_no_verdict_on_the_graph(
    kept: KeptGraphs, source: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    build = Builds()
    with monkeypatch.context() as full:
        full.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=3 * len(b"a model") - 1))
        assert kept.find(source, "t", build) is None
    assert os.strerror(errno.ENOSPC) in caplog.text
    assert kept.find(source, "t", build) is not None
    assert build.count == 1


def test_entries_not_used_for_longest_go_when_there_are_too_many(source: Path, directory: Path) -> None:
    kept = KeptGraphs(directory, limit_bytes=3000)
    made = {}
    for age, traits in enumerate(("a", "b")):
        made[traits] = kept.find(source, traits, Builds(size=1000))
        graph = made[traits]
        assert graph is not None
        os.utime(graph.parent / MANIFEST, (1000 + age, 1000 + age))
    kept.find(source, "a", Builds())  # used again: now b is the one not used for longest
    graph = kept.find(source, "c", Builds(size=1000))
    assert graph is not None
    assert made["a"] is not None
    assert entries(directory) == sorted({made["a"].parent, graph.parent})


def test_entry_in_use_stays_even_when_it_is_larger_than_the_limit(source: Path, directory: Path) -> None:
    kept = KeptGraphs(directory, limit_bytes=100)
    graph = kept.find(source, "t", Builds(size=1000))
    assert graph is not None
    assert graph.is_file()


def test_processes_that_start_together_build_once(source: Path, directory: Path) -> None:
    build = Builds()
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda _: KeptGraphs(directory).find(source, "t", build), range(8)))
    assert build.count == 1
    assert len(set(found)) == 1
