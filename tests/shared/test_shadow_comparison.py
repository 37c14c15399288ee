"""How far two answers are from each other, by task, by labels and by numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from services.shared.config_pbtxt import parse_config
from services.shared.errors import InferenceFailed
from services.shared.imaging.base import Box, DecodedImage
from services.shared.imaging.postprocess import choose_postprocessor
from services.shared.model_ref import ModelRef
from services.shared.model_view import ModelView
from services.shared.shadow_comparison import Comparison, Said, compare
from tests.support.predictor_bench import Preprocessing

ANIMALS = ("cat", "dog", "fox")
PICTURE = DecodedImage(np.zeros((4, 4, 3), np.uint8), 4, 4, "png", Box(0, 0, 4, 4))
_OUTPUTS = {
    "classification": 'output { name: "scores" data_type: TYPE_FP32 dims: [ -1 ] }',
    "embedding": 'output { name: "vector" data_type: TYPE_FP32 dims: [ -1 ] }',
    "detection": """
        output { name: "boxes" data_type: TYPE_FP32 dims: [ -1, 4 ] }
        output { name: "scores" data_type: TYPE_FP32 dims: [ -1 ] }
        output { name: "classes" data_type: TYPE_INT64 dims: [ -1 ] }""",
}


def view(task: str = "classification", labels: tuple[str, ...] = ANIMALS) -> ModelView:
    text = f"""
        platform: "onnxruntime_onnx" max_batch_size: 4
        input {{ name: "image" data_type: TYPE_UINT8 dims: [ 4, 4, 3 ] }}
        {_OUTPUTS[task]}
        parameters {{ key: "task" value {{ string_value: "{task}" }} }}"""
    config = parse_config(text, name="m")
    return ModelView(ModelRef("m", 1), config, Preprocessing(), choose_postprocessor(config), None, labels, 0, math.inf)


def scores(*values: float) -> tuple[np.ndarray]:
    return (np.array(values, np.float32),)


@pytest.mark.parametrize(
    ("stable", "shadow", "expected"),
    [
        (scores(0.5, 0.5, 0.0), scores(0.5, 0.25, 0.25), Comparison(0, 0.5, False, 0, 0.25)),
        (scores(0.0, 0.5, 0.5), scores(0.0, 0.25, 0.75), Comparison(2, 0.75, True, 1, 0.25)),
        (scores(0.0, 0.5, 0.5), scores(0.0, 1.0), Comparison(1, 1.0, False, 1, 0.0)),  # nothing to lay side by side
        (scores(0.25, 0.5), scores(0.0, 0.0, 1.0), Comparison(2, 1.0, True, 1, 0.0)),
        (scores(0.25, 0.5), (np.array([0.25, 0.5], np.float16),), Comparison(1, 0.5, False, 1, 0.0)),
    ],
)
def test_classifiers_differ_by_their_best_class(
    stable: tuple[np.ndarray], shadow: tuple[np.ndarray], expected: Comparison
) -> None:
    assert compare(Said(view(), stable), Said(view(), shadow), PICTURE) == expected


@pytest.mark.parametrize(
    ("labels", "others", "index", "differs"),
    [
        (ANIMALS, ("fox", "dog", "cat"), 2, False),  # the same animal at another place
        (ANIMALS, ("fox", "dog", "cat"), 0, True),
        (("crane", "crane"), ("crane", "crane"), 1, True),  # a bird and a machine: labels alone would not tell
        ((), ("0", "1"), 0, False),
        ((), ("cat", "dog"), 0, True),
    ],
)
def test_other_labels_are_compared_by_name(
    labels: tuple[str, ...], others: tuple[str, ...], index: int, differs: bool
) -> None:
    one_hot = np.zeros(max(len(labels), len(others)), np.float32)
    one_hot[index] = 1.0
    found = compare(Said(view(labels=labels), scores(1.0)), Said(view(labels=others), (one_hot,)), PICTURE)
    assert found.differs is differs
    assert found.difference == 0.0


def test_scores_of_other_labels_are_not_laid_side_by_side() -> None:
    stable, shadow = Said(view(), scores(1.0, 0.0)), Said(view(labels=("dog", "cat")), scores(0.0, 1.0))
    found = compare(stable, shadow, PICTURE)
    assert (found.differs, found.difference) == (False, 0.0)


def boxes(box: Sequence[float], score: float, index: int) -> tuple[np.ndarray, ...]:
    return np.array([box], np.float32), np.array([score], np.float32), np.array([index])


@pytest.mark.parametrize(
    ("task", "stable", "shadow", "expected"),
    [
        ("embedding", scores(1.0, -3.0), scores(1.5, 4.0), Comparison(-1, 0.0, None, -1, 7.0)),
        ("embedding", scores(1.0, 2.0), scores(1.0), Comparison(-1, 0.0, None, -1, 0.0)),
        ("embedding", scores(), scores(), Comparison(-1, 0.0, None, -1, 0.0)),
        (
            "detection",
            boxes((0, 0, 2, 2), 0.75, 1),
            boxes((0, 1, 2, 2), 0.5, 2),
            Comparison(2, 0.5, None, -1, 1.0),
        ),
    ],
)
def test_other_tasks_are_compared_by_their_numbers(
    task: str, stable: tuple[np.ndarray, ...], shadow: tuple[np.ndarray, ...], expected: Comparison
) -> None:
    assert compare(Said(view(task), stable), Said(view(task), shadow), PICTURE) == expected


def test_a_detector_that_finds_nothing_has_no_best_class() -> None:
    nothing = np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64)
    found = compare(Said(view("detection"), nothing), Said(view("detection"), nothing), PICTURE)
    assert found == Comparison(-1, 0.0, None, -1, 0.0)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_no_number_in_both_is_a_difference_without_a_number(value: float) -> None:
    said = Said(view("embedding"), scores(1.0, value))
    assert math.isnan(compare(said, said, PICTURE).difference)


def test_a_classifier_without_numbers_could_not_answer_anybody() -> None:
    with pytest.raises(InferenceFailed, match="not finite"):
        compare(Said(view(), scores(1.0)), Said(view(), scores(math.nan)), PICTURE)


def test_models_of_different_tasks_have_no_class_in_common() -> None:
    found = compare(Said(view("embedding"), scores(1.0)), Said(view(), scores(0.5)), PICTURE)
    assert found == Comparison(0, 0.5, None, -1, 0.5)
