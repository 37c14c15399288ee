"""A tiny run makes a directory that a real export takes, and int8 costs no more than a point of accuracy."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from exporters.parts import export_parts
from exporters.pipeline import export
from exporters.recipe_file import read_recipe
from exporters.shapes.model_directory import CHECKPOINT, SETTINGS, is_made_by
from exporters.shapes.scenes import SHAPES, SIDE
from exporters.shapes.train import TINY, main, make, pictures_of, varied
from services.shared.model_ref import ModelRef
from services.shared.repository.disk import DiskRepository


@dataclass(frozen=True, slots=True)
class Made:
    directory: Path
    accuracy: float


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Made:
    directory = tmp_path_factory.mktemp("models") / "shapes"
    return Made(directory, make(TINY, directory, Console(file=io.StringIO())))


def test_a_tiny_run_learns_its_classes(tiny: Made) -> None:
    assert tiny.accuracy >= 0.8
    assert (tiny.directory / "labels.txt").read_text().split() == list(TINY.shapes)


def test_a_second_run_of_the_same_settings_does_nothing(tiny: Made, capsys: pytest.CaptureFixture[str]) -> None:
    before = (tiny.directory / CHECKPOINT).stat().st_mtime_ns
    assert main(["--tiny", "--out", str(tiny.directory)]) == 0
    assert "already" in capsys.readouterr().out
    assert (tiny.directory / CHECKPOINT).stat().st_mtime_ns == before


def test_other_settings_or_half_a_directory_are_no_cached_run(tiny: Made, tmp_path: Path) -> None:
    assert is_made_by(tiny.directory, TINY)
    assert not is_made_by(tiny.directory, replace(TINY, seed=1))
    (tmp_path / SETTINGS).write_text((tiny.directory / SETTINGS).read_text())
    assert not is_made_by(tmp_path, TINY)  # there is no checkpoint


def test_int8_loses_no_more_than_a_point_of_accuracy(tiny: Made, tmp_path: Path) -> None:
    """300 evaluation pictures resolve a third of a point: three of them may change sides, and no more."""
    recipe = read_recipe(tiny.directory)
    models = tmp_path / "models"
    outcome = export(
        recipe, models, tell=lambda what, done, total: None, report=tmp_path / "report", parts=export_parts()
    )
    assert [each.name for each in outcome.variants] == ["fp32", "int8"]
    accuracies = {}
    for each in outcome.variants:
        assert each.published is not None, each.why_not
        assert each.result is not None
        assert each.result.accuracy is not None
        assert each.result.accuracy.images == 300
        accuracies[each.name] = each.result.accuracy.accuracy
    # What training measured is what the exported model does behind the serving preprocessing.
    assert accuracies["fp32"] == pytest.approx(tiny.accuracy, abs=1 / 300 + 1e-9)
    assert accuracies["fp32"] - accuracies["int8"] <= 3 / 300 + 1e-9
    repository = DiskRepository(models)
    fp32, int8 = (repository.artifact(ModelRef(name, 1)).path for name in ("shapes", "shapes_int8"))
    assert int8.stat().st_size < fp32.stat().st_size


def test_pictures_are_the_same_at_every_call_and_others_in_every_stream() -> None:
    first, labels = pictures_of(TINY, 1, 12)
    again, _ = pictures_of(TINY, 1, 12)
    other, _ = pictures_of(TINY, 2, 12)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert first.shape == (12, SIDE, SIDE, 3)
    assert np.bincount(labels).tolist() == [12 // len(TINY.shapes)] * len(TINY.shapes)
    assert set(TINY.shapes) <= set(SHAPES)


def test_varying_pictures_moves_pixels_and_changes_none() -> None:
    torch.manual_seed(0)
    pictures = torch.arange(2 * 3 * 4 * 4, dtype=torch.float32).reshape(2, 3, 4, 4)
    seen = [varied(pictures) for _ in range(8)]
    for each in seen:
        assert torch.equal(each.flatten(1).sort().values, pictures.flatten(1))
    assert any(not torch.equal(each, pictures) for each in seen)
