"""The whole comparison with the sample model: real servers, the plain service among them; and how it is asked for."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from loadtests import bench, bench_models
from loadtests.baseline import baseline_service
from loadtests.bench_models import FP32, INT8, resnet50
from services.cli.measure.asyncio_load import AsyncioGenerator
from services.cli.measure.load import upload
from services.cli.measure.pictures import SMALL, write_picture
from services.cli.measure.server_process import ServerProcess, process_stat, started, with_descendants
from tests.support.stack import ROOT


@pytest.mark.e2e
def test_the_ways_are_measured_side_by_side(tmp_path: Path) -> None:
    report, plot = tmp_path / "report.json", tmp_path / "plot.svg"
    arguments = ["--rows", "tiny/*/c8", "--rounds", "1", "--seconds", "1"]
    command = [sys.executable, "-m", "loadtests.bench", *arguments, "--json", str(report), "--plot", str(plot)]
    made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    assert made.returncode == 0, made.stderr
    document = json.loads(report.read_text())
    rows = {row["name"]: row for row in document["rows"]}
    ways = [f"tiny/28px/{way}/c8" for way in ("in-process", "grpc", "baseline")]
    assert set(rows) >= set(ways)
    for way in ways:
        assert rows[way]["requests_per_s"] > 0
        assert rows[way]["errors"] == 0
        assert rows[way]["cpu_ms"] > 0
        assert rows[way]["memory"]["size_bytes"] > 10_000_000
    assert rows[ways[0]]["of_baseline"] > 0
    assert document["targets"] == []  # none is of these rows
    assert plot.read_text().startswith("<svg")


@pytest.mark.e2e
def test_a_benchmark_that_is_ended_leaves_no_server(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "loadtests.bench", "--rows", "tiny/28px/in-process/c1", "--seconds", "500"]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}

    def is_loading(server: ServerProcess) -> bool:
        return len(below(server.pids()[:1])) > 3 and any(tmp_path.glob("grayscale-bench-*/load.lua"))

    with started(command, environment, tmp_path / "log", is_loading, directory=ROOT) as running:
        [benchmark, *_] = running.pids()
        everything = below([benchmark])
        os.kill(benchmark, signal.SIGTERM)
    assert not [pid for pid in everything if process_stat(pid) is not None]
    assert not list(tmp_path.glob("grayscale-bench-*"))


def below(pids: list[int]) -> list[int]:
    every = [
        stat for entry in Path("/proc").iterdir() if entry.name.isdecimal() and (stat := process_stat(int(entry.name)))
    ]
    return [each.pid for pid in pids for each in with_descendants(pid, every)]


@pytest.mark.e2e
def test_the_plain_service_answers_like_one(tmp_path: Path) -> None:
    with baseline_service(ROOT / "models" / "digits", tmp_path) as target:
        load = AsyncioGenerator().run(upload(target.url, write_picture(SMALL, tmp_path)), 2, 1)
    assert load.requests > 0
    assert load.errors == 0


@pytest.mark.parametrize(("extra", "expected"), [((), (5, 5)), (("--quick",), (2, 2)), (("--rounds", "7"), (7, 5))])
def test_rounds_and_seconds_are_chosen(extra: tuple[str, ...], expected: tuple[int, int]) -> None:
    options = bench.parse(extra)
    assert (options.rounds, options.seconds) == expected


def test_no_rounds_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        bench.parse(["--rounds", "0"])
    assert "begin with 1" in capsys.readouterr().err


def test_rows_that_do_not_exist_are_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.main(["--rows", "tiny/none"]) == 1
    assert "no row is called tiny/none" in capsys.readouterr().err


def test_models_that_are_there_are_not_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_models, "write_model", lambda *_: pytest.fail("they are there"))
    for name in (FP32, INT8):
        (tmp_path / name / "1").mkdir(parents=True)
        (tmp_path / name / "1" / "model.onnx").touch()
    assert resnet50(tmp_path) == tmp_path


def test_models_are_left_out_without_pytorch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert resnet50(tmp_path / "none") is None
