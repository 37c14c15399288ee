"""Marks of loads, and what is left of them when their process dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from services.shared.engine.load_marker import LoadMarkers
from services.shared.model_ref import ModelRef
from tests.support.stack import ROOT

A, B = ModelRef("a", 1), ModelRef("b", 1)

LOADS = """
import sys
from pathlib import Path
from services.shared.engine.load_marker import LoadMarkers
from services.shared.model_ref import ModelRef
markers = LoadMarkers(Path(sys.argv[1]), sys.argv[2])
with markers.marked(ModelRef.parse(sys.argv[3])):
    print("loading", flush=True)
    sys.stdin.read()
"""


class Loading:
    """A process that loads a version until it is told to end, or killed."""

    def __init__(self, directory: Path, process_id: str, ref: ModelRef) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", LOADS, str(directory), process_id, str(ref)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"loading\n"

    def end(self) -> int:
        self.process.communicate()
        return self.process.returncode

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.end()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "begun"


def test_a_load_that_ends_leaves_nothing_behind(directory: Path) -> None:
    markers = LoadMarkers(directory, "me")
    with markers.marked(A):
        assert len(list(directory.iterdir())) == 1
    with pytest.raises(ValueError, match="broken"), markers.marked(A):
        raise ValueError("broken")
    assert list(directory.iterdir()) == []
    assert markers.deaths(A) == 0


def test_a_process_that_dies_in_a_load_is_remembered_and_one_that_lives_is_not_counted(directory: Path) -> None:
    markers = LoadMarkers(directory, "me")
    dying, living = Loading(directory, "dying", A), Loading(directory, "living", A)
    assert markers.deaths(A) == 0
    dying.kill()
    assert markers.deaths(A) == 1
    assert markers.deaths(B) == 0
    assert living.end() == 0
    assert markers.deaths(A) == 1


def test_processes_that_die_together_have_died_once_and_their_successor_a_second_time(directory: Path) -> None:
    markers = LoadMarkers(directory, "me")
    together = [Loading(directory, f"first-{number}", A) for number in range(3)]
    for each in together:
        each.kill()
    assert markers.deaths(A) == 1
    Loading(directory, "second", A).kill()
    assert markers.deaths(A) == 2


def test_what_was_loaded_after_all_is_forgiven(directory: Path) -> None:
    markers = LoadMarkers(directory, "me")
    for ref in (A, B):
        Loading(directory, f"dying-{ref.name}", ref).kill()
    markers.forget(A)
    assert (markers.deaths(A), markers.deaths(B)) == (0, 1)


def test_a_death_of_long_ago_and_files_that_are_no_marks_count_for_nothing(directory: Path) -> None:
    markers = LoadMarkers(directory, "me")
    Loading(directory, "old", A).kill()
    os.utime(directory / "old.json", (1e9, 1e9))
    for name, text in {"a": "", "b": "[]", "c": '{"ref": "a/1"}', "d": '{"ref": "a/1", "turn": "x"}'}.items():
        (directory / f"{name}.json").write_text(text)
    assert markers.deaths(A) == 0
    assert not (directory / "old.json").exists()


def test_a_directory_that_cannot_be_used_costs_no_load(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    markers, loaded = LoadMarkers(tmp_path / "file" / "begun", "me"), False
    with markers.marked(A):
        loaded = True
    markers.forget(A)
    assert loaded
    assert markers.deaths(A) == 0
    assert "a/1 is loaded without a mark" in caplog.text
