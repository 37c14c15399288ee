"""The ceiling: the sample model decoded and run in processes of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.cli.measure.ceiling import ceiling, together
from services.cli.measure.ceiling_worker import Turn
from services.cli.measure.load import MeasurementFailed
from services.cli.measure.lone_model import LoneModel, lone_model
from services.cli.measure.pictures import SMALL, write_picture
from services.cli.measure.server_process import process_stat
from services.shared.model_ref import ModelRef
from tests.support.stack import ROOT

DIGITS = LoneModel(ROOT / "models", ModelRef("digits", 1))


@pytest.mark.parametrize(("processes", "threads"), [(2, 1), (1, 2)])
def test_all_processes_decode_and_run(processes: int, threads: int, tmp_path: Path) -> None:
    picture = write_picture(SMALL, tmp_path)
    with ceiling(DIGITS, tmp_path / "log", processes=processes, threads=threads) as started:
        runs = [started.run(picture, 0.1) for _ in range(2)]
    for run in runs:
        assert run.load.requests > processes
        assert run.load.errors == 0
        assert 0 < run.load.p50_ms <= run.load.p99_ms
        assert run.cpu_s > 0


def test_the_processes_end_with_the_block(tmp_path: Path) -> None:
    with ceiling(DIGITS, tmp_path / "log", processes=1, threads=1) as started:
        [pid] = [worker.pid for worker in started._workers]
        assert process_stat(pid) is not None
    assert process_stat(pid) is None


def test_a_model_that_cannot_be_run_says_why(tmp_path: Path) -> None:
    missing = LoneModel(ROOT / "models", ModelRef("none", 1))
    with (
        pytest.raises(MeasurementFailed, match="none"),
        ceiling(missing, tmp_path / "log", processes=1, threads=1),
    ):
        pytest.fail("it never got ready")


def test_a_picture_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    (tmp_path / "no.png").write_bytes(b"no picture")
    with ceiling(DIGITS, tmp_path / "log", processes=1, threads=1) as started, pytest.raises(MeasurementFailed):
        started.run(tmp_path / "no.png", 0.1)


def test_rates_of_workers_add_up() -> None:
    run = together([Turn(2.0, 1.5, (1.0, 2.0, 3.0, 4.0)), Turn(4.0, 2.5, (10.0,) * 4)])
    assert run.load.requests_per_s == pytest.approx(4 / 2 + 4 / 4)
    assert run.load.requests == 8
    assert run.load.p50_ms == 4.0
    assert run.cpu_s == 4.0


def test_a_lone_model_has_nothing_beside_it(tmp_path: Path) -> None:
    models = tmp_path / "models"
    for path in ("a/1/model.onnx", "a/2/model.onnx", "a/warmup/x", "a/config.pbtxt", "b/1/model.onnx"):
        (models / path).parent.mkdir(parents=True, exist_ok=True)
        (models / path).write_text(path)
    (models / "a" / "labels.txt").symlink_to(models / "b" / "1" / "model.onnx")
    own = lone_model(models, ModelRef("a", 2), tmp_path / "own")
    files = {str(p.relative_to(own.models)): p for p in own.models.rglob("*") if p.is_file()}
    assert sorted(files) == ["a/2/model.onnx", "a/config.pbtxt", "a/labels.txt", "a/warmup/x"]
    assert files["a/2/model.onnx"].samefile(models / "a" / "2" / "model.onnx")
    assert not files["a/labels.txt"].is_symlink()
    assert own.directory == own.models / "a"
