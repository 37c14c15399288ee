"""The config that is written is the one that was meant, and one that can be served."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from exporters.base import BuiltVariant, ExportFailed
from exporters.choose import Batching
from exporters.config_writer import same_contract, write_config
from exporters.recipe import InputRecipe, NetworkRecipe, Recipe
from services.shared.config_pbtxt import parse_config
from services.shared.imaging.settings import parse_image_settings
from services.shared.tensors import TensorSpec

RECIPE = Recipe(
    name="flowers",
    task="classification",
    labels=("rose", "tulip"),
    network=NetworkRecipe("resnet18", {}, "w.pt"),
    input=InputRecipe(32, 48, 3, (0.5,) * 3, (0.5,) * 3, {"fit": "cover", "resize": "64", "color": "rgb"}),
    directory=Path("flowers"),
)
INT8 = BuiltVariant("int8", Path("int8.onnx"), "int8")
OUTPUTS = (TensorSpec("probabilities", "FP32", (2,)),)


def test_everything_that_was_decided_stands_in_the_config() -> None:
    text = write_config(RECIPE, INT8, "flowers_int8", OUTPUTS, Batching(16, (4, 8), 500))
    config = parse_config(text, name="flowers_int8")
    assert (config.backend, config.model_filename, config.max_batch_size) == ("onnxruntime", "model.onnx", 16)
    assert config.inputs == (TensorSpec("image", "UINT8", (32, 48, 3)),)
    assert config.outputs == OUTPUTS
    assert config.label_files == {"probabilities": "labels.txt"}
    assert config.batching is not None
    assert (config.batching.preferred_batch_sizes, config.batching.max_queue_delay_us) == ((4, 8), 500)
    assert config.batching.queue_policy.max_queue_size > 0
    assert config.parameters == {"task": "classification", "precision": "int8", **RECIPE.input.parameters}
    assert parse_image_settings(config).resize == 64
    assert config.unhonoured == ()


def test_an_engine_is_served_by_tensorrt_from_a_plan() -> None:
    variant = BuiltVariant("trt_fp16", Path("model.plan"), "fp16", backend="tensorrt")
    config = parse_config(write_config(RECIPE, variant, "f_trt", OUTPUTS, Batching(8)), name="f_trt")
    assert (config.platform, config.backend, config.model_filename) == ("tensorrt_plan", "tensorrt", "model.plan")


def test_without_a_gain_from_waiting_nobody_waits_and_single_requests_are_not_batched() -> None:
    config = parse_config(write_config(RECIPE, INT8, "f", OUTPUTS, Batching(8)), name="f")
    assert config.batching is not None
    assert (config.batching.preferred_batch_sizes, config.batching.max_queue_delay_us) == ((), 0)
    assert parse_config(write_config(RECIPE, INT8, "f", OUTPUTS, Batching(1)), name="f").batching is None


@pytest.mark.parametrize(
    ("task", "outputs", "labelled"),
    [
        ("embedding", (TensorSpec("embedding", "FP32", (8,)),), {}),
        ("segmentation", (TensorSpec("classes", "UINT8", (32, 48)),), {"classes": "labels.txt"}),
        (
            "detection",
            (
                TensorSpec("boxes", "FP32", (-1, 4)),
                TensorSpec("scores", "FP32", (-1,)),
                TensorSpec("classes", "INT64", (-1,)),
            ),
            {"classes": "labels.txt"},
        ),
    ],
)
def test_each_tasks_outputs_are_written_and_one_of_them_has_the_labels(
    task: str, outputs: tuple[TensorSpec, ...], labelled: dict[str, str]
) -> None:
    recipe = replace(RECIPE, task=task, labels=RECIPE.labels if labelled else ())  # type: ignore[arg-type]
    config = parse_config(write_config(recipe, INT8, "f", outputs, Batching(8)), name="f")
    assert config.outputs == outputs
    assert config.label_files == labelled


def test_words_with_quotes_stay_what_they_are() -> None:
    shape = replace(RECIPE.input, parameters={"note": 'a "b" \\ é'})
    text = write_config(replace(RECIPE, input=shape), INT8, "f", OUTPUTS, Batching(8))
    assert parse_config(text, name="f").parameters["note"] == 'a "b" \\ é'


@pytest.mark.parametrize(
    ("recipe", "batching", "said"),
    [
        (replace(RECIPE, input=replace(RECIPE.input, parameters={"fit": "squash"})), Batching(8), "fit is 'squash'"),
        (RECIPE, Batching(5000), "max_batch_size is 5000"),
        (RECIPE, Batching(4, (8,)), "preferred_batch_size"),
    ],
)
def test_what_no_server_would_read_is_not_written(recipe: Recipe, batching: Batching, said: str) -> None:
    with pytest.raises(ExportFailed, match=said):
        write_config(recipe, INT8, "f", OUTPUTS, batching)


def test_versions_may_stand_side_by_side_when_only_batching_differs() -> None:
    def config(recipe: Recipe = RECIPE, outputs: tuple[TensorSpec, ...] = OUTPUTS, batching: int = 8) -> object:
        return parse_config(write_config(recipe, INT8, "f", outputs, Batching(batching)), name="f")

    assert same_contract(config(), config(batching=32)) == ""  # type: ignore[arg-type]
    other = replace(RECIPE, input=replace(RECIPE.input, parameters={"fit": "contain"}))
    said = same_contract(config(), config(other, (TensorSpec("probabilities", "FP32", (3,)),)))  # type: ignore[arg-type]
    assert said == "outputs, parameter color, parameter fit, parameter resize"
