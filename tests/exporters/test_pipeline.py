"""What an export publishes, and what it does not, whatever fails."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from exporters.base import ExportFailed
from exporters.pipeline import ExportOutcome, Parts, export, model_name
from exporters.recipe import DataRecipe, ProfileRecipe, Recipe, VariantName
from services.shared.model_ref import ModelRef
from services.shared.repository.disk import DiskRepository
from tests.support.export_parts import WEIGHTS, LinearOriginal, LinearVariant, Reports, parts, recipe, write_linear

TURNED = partial(write_linear, weights=-WEIGHTS)
NEAR = partial(write_linear, weights=WEIGHTS * 1.01)


def run(
    tmp_path: Path,
    parts: Parts,
    *variants: VariantName,
    made: Recipe | None = None,
    tell: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> ExportOutcome:
    return export(
        made or recipe(tmp_path / "models" / "flowers", *variants),
        tmp_path / "models",
        tell=tell,
        report=tmp_path / "report",
        parts=parts,
    )


def published(tmp_path: Path) -> list[str]:
    root = tmp_path / "models"
    repository = DiskRepository(root)
    return [f"{n}/{v}" for n in repository.names() for v in repository.versions(n)] if root.exists() else []


def test_every_variant_is_proven_measured_and_published_with_its_provenance(tmp_path: Path) -> None:
    reports = Reports()
    outcome = run(tmp_path, parts(LinearVariant("int8", NEAR), reports=reports), "int8")
    assert published(tmp_path) == ["flowers/1", "flowers_int8/1"]
    [fp32, int8] = outcome.variants
    assert fp32.published is not None
    assert fp32.published.ref == ModelRef("flowers", 1)
    assert int8.result is not None
    assert int8.result.parity.top1_agreement == 1.0
    assert int8.result.accuracy is not None
    assert (int8.result.accuracy.accuracy, int8.result.accuracy.images) == (1.0, 64)  # -1 is no class
    assert {timing.batch for timing in int8.result.timings} == {1, 4}
    assert outcome.choice.variant in ("fp32", "int8")
    assert [[each.variant.name for each in results] for results, _ in reports.written] == [["fp32", "int8"]]
    directory = tmp_path / "models" / "flowers_int8" / "1"
    document = json.loads((directory / "provenance.json").read_text())
    assert document["source"] == {"file": "weights", "sha256": "c0ffee"}
    assert document["recipe"] == "# the recipe\n"
    assert document["graph"]["producer"] == "test 1"
    assert document["notes"] == {"tried": 1}
    assert document["metrics"]["accuracy"]["accuracy"] == 1.0
    artifact = DiskRepository(tmp_path / "models").artifact(ModelRef("flowers_int8", 1))
    assert document["model_sha256"] == artifact.sha256
    assert json.loads((directory / "report.json").read_text()) == {"best": outcome.choice.variant}
    assert (directory / "report.html").exists()
    assert (tmp_path / "report" / "report.html").exists()
    assert DiskRepository(tmp_path / "models").config("flowers_int8").parameters["precision"] == "int8"


def test_a_second_export_of_the_same_model_publishes_nothing_new(tmp_path: Path) -> None:
    run(tmp_path, parts())
    [again] = run(tmp_path, parts()).variants
    assert again.published is not None
    assert (again.published.ref, again.published.is_new) == (ModelRef("flowers", 1), False)
    assert published(tmp_path) == ["flowers/1"]


def test_a_variant_that_is_not_the_same_model_is_not_published_and_the_report_knows_by_how_much(tmp_path: Path) -> None:
    reports = Reports()
    outcome = run(tmp_path, parts(LinearVariant("int8", TURNED), reports=reports), "int8")
    assert published(tmp_path) == ["flowers/1"]
    failed = outcome.variants[1]
    assert failed.published is None
    assert "top-1 agreement" in failed.why_not
    assert outcome.choice.variant == "fp32"
    [(results, best)] = reports.written
    assert best == "fp32"
    assert results[1].failures
    assert results[1].timings == ()


def test_a_variant_that_cannot_be_built_here_says_why_and_the_others_are_published(tmp_path: Path) -> None:
    outcome = run(tmp_path, parts(LinearVariant("trt_fp16", None), LinearVariant("int8")), "trt_fp16", "int8")
    assert published(tmp_path) == ["flowers/1", "flowers_int8/1"]
    [trt] = [each for each in outcome.variants if each.name == "trt_fp16"]
    assert (trt.result, trt.published, trt.why_not) == (None, None, "trt_fp16 needs a GPU, and there is none")
    unknown = run(tmp_path, parts(), "fp16").variants[1]
    assert "cannot be made here" in unknown.why_not


def test_a_variant_with_other_outputs_could_not_take_the_models_place(tmp_path: Path) -> None:
    half = LinearVariant("fp16", partial(write_linear, dtype="FLOAT16"))
    outcome = run(tmp_path, parts(half), "fp16")
    assert published(tmp_path) == ["flowers/1"]
    assert "probabilities FP16 [2], where fp32 gives probabilities FP32 [2]" in outcome.variants[1].why_not


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (TURNED, "nothing is published, because fp32 is not the model of the checkpoint: max absolute difference"),
        (partial(write_linear, weights=WEIGHTS + np.float32(np.nan)), "nothing is published"),
        (partial(write_linear, batch=1), "export it with a dynamic first dimension"),
        (partial(write_linear, weights=np.hstack([WEIGHTS, WEIGHTS])), "there are 2 labels: name as many labels"),
        (lambda path: path.write_bytes(b"half a file"), "fp32.onnx of flowers cannot be loaded"),
    ],
)
def test_where_fp32_fails_nothing_is_published_at_all(tmp_path: Path, write: Callable[[Path], None], said: str) -> None:
    with pytest.raises(ExportFailed, match=r"^[^\n]+$") as error:
        run(tmp_path, parts(LinearVariant("int8"), original=LinearOriginal(write)), "int8")
    assert said in str(error.value)
    assert published(tmp_path) == []


def test_a_report_is_written_even_where_nothing_is_published(tmp_path: Path) -> None:
    reports = Reports()
    with pytest.raises(ExportFailed, match=r"see .*report\.html"):
        run(tmp_path, parts(original=LinearOriginal(TURNED), reports=reports))
    [(results, best)] = reports.written
    assert best is None
    assert results[0].failures


def test_without_data_variants_are_compared_on_noise(tmp_path: Path) -> None:
    made = replace(recipe(tmp_path / "models" / "flowers"), data=DataRecipe())
    [fp32] = run(tmp_path, parts(), made=made).variants
    assert fp32.result is not None
    assert fp32.result.accuracy is None
    assert fp32.result.parity.images > 0
    assert published(tmp_path) == ["flowers/1"]


def test_the_original_answers_each_batch_once_however_many_variants_there_are(tmp_path: Path) -> None:
    alone, many = LinearOriginal(), LinearOriginal()
    run(tmp_path, parts(original=alone))
    run(tmp_path, parts(LinearVariant("int8"), LinearVariant("fp16"), original=many), "int8", "fp16")
    assert many.runs == alone.runs


def test_a_latency_limit_shows_in_the_published_config(tmp_path: Path) -> None:
    made = replace(
        recipe(tmp_path / "models" / "flowers"),
        profile=ProfileRecipe(batch_sizes=(1, 4), seconds=0.01, max_latency_ms=1e-6),
    )
    outcome = run(tmp_path, parts(), made=made)
    assert outcome.choice.variant is None
    assert DiskRepository(tmp_path / "models").config("flowers").max_batch_size == 1


def test_progress_is_told_for_every_step(tmp_path: Path) -> None:
    told: dict[str, tuple[int, int]] = {}
    run(tmp_path, parts(), tell=lambda what, done, total: told.update({what: (done, total)}))
    assert list(told) == ["load the original", "prove fp32", "profile", "report", "publish"]
    assert all(done == total for done, total in told.values())


def test_variants_are_published_beside_the_model() -> None:
    made = recipe(Path("flowers"))
    assert model_name(made, "fp32") == "flowers"
    assert model_name(made, "trt_fp16") == "flowers_trt_fp16"
