"""Starts the plain service that the benchmark compares with, as its users do: uvicorn with two workers."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from services.cli.measure.load import Generator
from services.cli.measure.rounds import Measure, Open, Workload
from services.cli.measure.rows import Point
from services.cli.measure.server_process import ServerProcess, free_port, started
from services.cli.measure.ways import ServedMeasure, Target, own_model

ROOT = Path(__file__).resolve().parent.parent
WORKERS = 2
_READY = "Application startup complete"


@contextlib.contextmanager
def baseline_service(model: Path, directory: Path) -> Iterator[Target]:
    """The service with a model directory, every worker of it ready; its log lies in `directory`."""
    port, log = free_port(), directory / "baseline.log"
    command = [sys.executable, "-m", "uvicorn", "--factory", "loadtests.baseline_service:build"]
    command += ["--port", str(port), "--workers", str(WORKERS)]

    def ready(_: ServerProcess) -> bool:
        return log.read_text(errors="replace").count(_READY) >= WORKERS

    environment = {**os.environ, "MODEL": str(model.resolve())}
    with started(command, environment, log, ready, directory=ROOT) as server:
        yield Target(f"http://127.0.0.1:{port}/predict", (server,))


def plain_service(generator: Generator) -> Open:
    """The baseline as a way of serving."""

    def start(workload: Workload, _: Sequence[Point], place: Path) -> AbstractContextManager[Measure]:
        return _served(baseline_service(own_model(workload).directory, place), generator)

    return start


@contextlib.contextmanager
def _served(service: AbstractContextManager[Target], generator: Generator) -> Iterator[Measure]:
    with service as target:
        yield ServedMeasure(target, generator)
