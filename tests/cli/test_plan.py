"""What `grayscale plan` says, and what it refuses."""

from __future__ import annotations

from dataclasses import replace

import orjson
import pytest
from rich.console import Console
from typer.testing import CliRunner

from services.cli.commands import app
from services.cli.measure.capacity import Capacity, Predicted
from services.cli.measure.measured_service import MeasuredService
from services.cli.measure.service_times import ServiceTimes, TurnTimes
from services.cli.plan import document_of, replicas_of, table_of
from services.shared.engine.batch_plan import BatchRules

MEASURED = MeasuredService(
    ServiceTimes((0.002,), {1: 0.005, 2: 0.009}, (1.0,), 0.001, 0.0005, 0.008), BatchRules(True, 2), 8.5, 120.0
)


def capacity(processes: int) -> Capacity:
    return Capacity(processes, Predicted(50.0, 0.4, 0.45, 9.0, 20.0), 90.0)


@pytest.mark.parametrize(("processes", "cores", "replicas"), [(1, 4, 1), (4, 4, 1), (5, 4, 2), (7, 1, 7)])
def test_replicas_hold_all_processes(processes: int, cores: int, replicas: int) -> None:
    assert replicas_of(capacity(processes), cores) == replicas


def test_a_person_reads_the_answer_first() -> None:
    console = Console(record=True, width=140)
    console.print(table_of(MEASURED, capacity(5), 250.0, 30.0, 4))
    first, *_ = console.export_text().splitlines()
    assert first.split()[:5] == ["needed", "5", "cores,", "2", "replicas"]
    assert "99 of 100 within 30 ms" in first


def test_a_person_reads_what_was_measured() -> None:
    console = Console(record=True, width=200)
    turns = replace(MEASURED.times, turns=TurnTimes(0.0003, 0.0001, 32), wake_s=0.002)
    for times in (MEASURED.times, turns):
        console.print(table_of(replace(MEASURED, times=times), capacity(5), 250.0, 30.0, 4))
    said = console.export_text()
    assert "decoding 2 ms, run 5 ms (batches up to 2), everything else 1 ms of the core and 0.5 ms beside it" in said
    assert "a turn of the loop 0.3 ms, and 0.1 ms for each request in it, 2 ms more after a pause; 120/s" in said


def test_machines_get_everything() -> None:
    document = orjson.loads(orjson.dumps(document_of(MEASURED, capacity(5), 4)))
    assert (document["cores"], document["replicas"]) == (5, 2)
    assert document["each"] == {"rate_per_s": 50.0, "asked": 0.4, "busy": 0.45, "p50_ms": 9.0, "p99_ms": 20.0}
    assert document["measured_ms"]["run"] == {"1": 5.0, "2": 9.0}
    assert document["assumptions"]


@pytest.mark.parametrize("size", ["640", "640x", "0x3", "ax9", "640x480x3", "100000x1"])
def test_a_size_that_is_none_is_a_usage_error(size: str) -> None:
    done = CliRunner().invoke(app, ["plan", "--model", "digits", "--rps", "1", "--p99", "9", "--image-size", size])
    assert done.exit_code == 2
    assert "--image-size" in done.output
