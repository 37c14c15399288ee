"""What `grayscale plan` says, and what it refuses."""

from __future__ import annotations

import orjson
import pytest
from rich.console import Console
from typer.testing import CliRunner

from services.cli.commands import app
from services.cli.measure.capacity import Capacity, Predicted
from services.cli.measure.measured_service import MeasuredService
from services.cli.measure.service_times import ServiceTimes
from services.cli.plan import document_of, replicas_of, table_of
from services.shared.engine.batch_plan import BatchRules

MEASURED = MeasuredService(
    ServiceTimes((0.002,), {1: 0.005, 2: 0.009}, (1.0,), 0.001, 0.0005), BatchRules(True, 2), 8.5, 120.0
)


def capacity(processes: int) -> Capacity:
    return Capacity(processes, Predicted(50.0, 0.4, 9.0, 20.0), 90.0)


@pytest.mark.parametrize(("processes", "cores", "replicas"), [(1, 4, 1), (4, 4, 1), (5, 4, 2), (7, 1, 7)])
def test_replicas_hold_all_processes(processes: int, cores: int, replicas: int) -> None:
    assert replicas_of(capacity(processes), cores) == replicas


def test_a_person_reads_the_answer_first() -> None:
    console = Console(record=True, width=140)
    console.print(table_of(MEASURED, capacity(5), 250.0, 30.0, 4))
    first, *_ = console.export_text().splitlines()
    assert first.split()[:5] == ["needed", "5", "cores,", "2", "replicas"]
    assert "99 of 100 within 30 ms" in first


def test_machines_get_everything() -> None:
    document = orjson.loads(orjson.dumps(document_of(MEASURED, capacity(5), 4)))
    assert (document["cores"], document["replicas"]) == (5, 2)
    assert document["each"] == {"rate_per_s": 50.0, "busy": 0.4, "p50_ms": 9.0, "p99_ms": 20.0}
    assert document["measured_ms"]["run"] == {"1": 5.0, "2": 9.0}
    assert document["assumptions"]


@pytest.mark.parametrize("size", ["640", "640x", "0x3", "ax9", "640x480x3", "100000x1"])
def test_a_size_that_is_none_is_a_usage_error(size: str) -> None:
    done = CliRunner().invoke(app, ["plan", "--model", "digits", "--rps", "1", "--p99", "9", "--image-size", size])
    assert done.exit_code == 2
    assert "--image-size" in done.output
