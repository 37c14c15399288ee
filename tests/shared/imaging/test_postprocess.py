from __future__ import annotations

import numpy as np
import pytest

from services.shared.errors import InvalidInput
from services.shared.imaging.base import DecodedImage
from services.shared.imaging.classification import Prediction
from services.shared.imaging.detection import Detection
from services.shared.imaging.embedding import Embedding
from services.shared.imaging.postprocess import choose_postprocessor
from services.shared.imaging.segmentation import Segmentation
from services.shared.model_config import ModelConfig
from services.shared.tensors import Array, TensorSpec

IMAGE = DecodedImage(np.zeros((8, 8, 3), np.uint8), 8, 8, "png")
BOXES = np.array([[0, 0, 4, 4], [0, 0, 4, 4.5]], np.float32)


def config(outputs: str = "first second", **parameters: str) -> ModelConfig:
    specs = tuple(TensorSpec(name, "FP32", (-1,)) for name in outputs.split())
    return ModelConfig("m", "onnxruntime", "", 8, (), specs, parameters=parameters)


@pytest.mark.parametrize(
    ("parameters", "outputs", "needs", "takes_long"),
    [
        ({}, "first second", ("first",), False),
        ({"task": "classification"}, "first", ("first",), False),
        ({"task": "embedding"}, "first second", ("first",), False),
        ({"task": "segmentation"}, "first second", ("first",), True),
        ({"task": "detection"}, "more classes scores boxes", ("boxes", "scores", "classes"), False),
        ({"task": "detection", "nms": "inside"}, "boxes scores classes", ("boxes", "scores", "classes"), False),
        ({"task": "detection", "nms": "outside"}, "scores boxes", ("boxes", "scores"), True),
    ],
)
def test_the_task_says_which_outputs_are_needed(
    parameters: dict[str, str], outputs: str, needs: tuple[str, ...], takes_long: bool
) -> None:
    chosen = choose_postprocessor(config(outputs, **parameters))
    assert chosen.task == parameters.get("task", "classification")
    assert (chosen.outputs, chosen.takes_long) == (needs, takes_long)


@pytest.mark.parametrize(
    ("task", "output", "kind"),
    [
        ("classification", np.array([0.2, 0.8], np.float32), tuple),
        ("segmentation", np.zeros((4, 4), np.uint8), Segmentation),
        ("embedding", np.ones(3, np.float32), Embedding),
    ],
)
def test_each_task_gives_its_own_kind_of_answer(task: str, output: Array, kind: type) -> None:
    assert isinstance(choose_postprocessor(config(task=task)).interpret((output,), IMAGE, (), 5), kind)


def test_classification_gives_the_best_classes() -> None:
    given = choose_postprocessor(config()).interpret((np.array([0.25, 0.75]),), IMAGE, ("cat", "dog"), 1)
    assert given == (Prediction("dog", 1, 0.75),)


@pytest.mark.parametrize(
    ("parameters", "want"),
    [
        ({}, [0.9]),  # an overlap of 0.89 is too much
        ({"iou_threshold": "0.9"}, [0.9, 0.5]),
        ({"iou_threshold": "0.9", "score_threshold": "0.6"}, [0.9]),
        ({"iou_threshold": "0.9", "max_detections": "1"}, [0.9]),
        ({"score_threshold": "0.95"}, []),
    ],
)
def test_a_detectors_parameters_are_heeded(parameters: dict[str, str], want: list[float]) -> None:
    chosen = choose_postprocessor(config("boxes scores", task="detection", nms="outside", **parameters))
    given = chosen.interpret((BOXES, np.array([[0.9], [0.5]], np.float32)), IMAGE, (), 5)
    assert isinstance(given, tuple)
    assert [each.score for each in given] == pytest.approx(want)
    assert all(isinstance(each, Detection) for each in given)


@pytest.mark.parametrize(
    ("outputs", "parameters", "says"),
    [
        ("first", {"task": "poetry"}, "task is 'poetry': use one of classification, detection, segmentation, embed"),
        ("boxes scores classes", {"task": "detection", "nms": "maybe"}, "nms is 'maybe': use one of inside, outside"),
        ("boxes scores classes", {"task": "detection", "score_threshold": "2"}, "use a number from 0 to 1"),
        ("boxes scores classes", {"task": "detection", "max_detections": "0"}, "use a whole number from 1 to 10000"),
        ("boxes scores", {"task": "detection"}, "needs the outputs boxes, scores, classes, and there is no classes"),
        ("classes", {"task": "detection", "nms": "outside"}, "there is no boxes and no scores"),
        ("", {}, "classification needs an output"),
    ],
)
def test_a_config_that_cannot_be_is_refused_with_the_reason(
    outputs: str, parameters: dict[str, str], says: str
) -> None:
    with pytest.raises(InvalidInput, match=says):
        choose_postprocessor(config(outputs, **parameters))
