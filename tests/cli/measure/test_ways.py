"""What is started for each way of serving, and what a sample says of it."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.cli.measure.asyncio_load import AsyncioGenerator
from services.cli.measure.grayscale_server import answers
from services.cli.measure.load import Load, MeasurementFailed, Request
from services.cli.measure.rounds import Workload
from services.cli.measure.rows import Point
from services.cli.measure.server_process import Memory, ServerProcess, free_port, started
from services.cli.measure.ways import MemoryUnderLoad, ServedMeasure, Target, machine_ceiling, running_server
from tests.cli.measure.conftest import AnsweringServer

POINT = Point("m", "p", "server", 2)


class Counting:
    """A generator that makes no load and remembers what it was asked for."""

    name = "counting"

    def __init__(self) -> None:
        self.asked: list[tuple[str, int, int]] = []

    def run(self, request: Request, connections: int, seconds: int) -> Load:
        self.asked.append((request.url, connections, seconds))
        return Load(4, 1.0, 1, 1, 1)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "picture.png"
    path.write_bytes(b"a picture")
    return path


@pytest.fixture
def process(tmp_path: Path) -> Iterator[ServerProcess]:
    """One that does nothing."""
    command = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"]
    with started(command, os.environ, tmp_path / "log", lambda server: "up" in server.log.read_text()) as server:
        yield server


def test_a_server_is_warmed_with_each_picture_once(picture: Path, tmp_path: Path) -> None:
    generator = Counting()
    measure = ServedMeasure(Target("http://h/x"), generator)
    other = tmp_path / "other.png"
    other.write_bytes(b"")
    for each in (picture, picture, other):
        measure(POINT, each, 5)
    assert [(connections, seconds) for _, connections, seconds in generator.asked] == [
        (8, 2),
        (2, 5),
        (2, 5),
        (8, 2),
        (2, 5),
    ]


def test_a_sample_has_cpu_time_and_memory_of_our_own_processes(picture: Path, process: ServerProcess) -> None:
    sample = ServedMeasure(Target("http://h/x", (process,)), Counting())(POINT, picture, 1)
    assert sample.cpu_ms is not None
    assert 0 <= sample.cpu_ms < 250
    assert sample.memory is not None
    assert sample.memory.size_bytes > 1_000_000


def test_nothing_is_said_of_processes_that_are_not_ours(picture: Path) -> None:
    sample = ServedMeasure(Target("http://h/x"), Counting())(POINT, picture, 1)
    assert (sample.cpu_ms, sample.memory) == (None, None)


def test_a_running_server_is_asked_with_the_key(server: AnsweringServer, picture: Path, tmp_path: Path) -> None:
    workload = Workload("m", "shoes", {"p": (2,)}, 1, None)
    with running_server(f"{server.url}/", "secret", AsyncioGenerator())(workload, [POINT], tmp_path) as measure:
        sample = measure(POINT, picture, 1)
    assert sample.load.requests > 0
    assert sample.load.errors == 0
    assert {headers["authorization"] for headers in server.headers} == {"Bearer secret"}
    assert server.paths == {"/v1/models/shoes/predict"}


def test_the_ceiling_of_somebody_elses_server_is_not_known(tmp_path: Path) -> None:
    workload = Workload("m", "m", {"p": (2,)}, 1, None)
    with (
        pytest.raises(MeasurementFailed, match="runs already"),
        machine_ceiling(2)(workload, [POINT.ceiling(2)], tmp_path),
    ):
        pytest.fail("there is nothing to start")


def test_the_larger_memory_counts(process: ServerProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes, looked = iter([9, 5]), threading.Event()

    def memory_of(_: list[int]) -> Memory:
        size = next(sizes)
        looked.set()
        return Memory(size, proportional=True)

    monkeypatch.setattr("services.cli.measure.ways.memory_of", memory_of)
    with MemoryUnderLoad((process,), after_s=0.0) as memory:
        assert looked.wait(20)
    assert memory.most == Memory(9, proportional=True)


def test_a_short_run_is_looked_at_when_it_ends(process: ServerProcess) -> None:
    with MemoryUnderLoad((process,), after_s=600.0) as memory:
        assert memory.most is None
    assert memory.most is not None


def test_a_port_answers_when_its_server_says_200(server: AnsweringServer) -> None:
    server.documents["/ready"] = []
    assert answers(server.port, "/ready")
    assert not answers(server.port, "/other")
    assert not answers(free_port(), "/ready")
