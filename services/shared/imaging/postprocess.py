"""What a model's outputs mean: one postprocessor per task, chosen by the config's parameter `task`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast, get_args

from services.shared.errors import InvalidInput
from services.shared.imaging.base import DecodedImage
from services.shared.imaging.classification import Prediction, top_k
from services.shared.imaging.detection import Detection, DetectionLimits, detections
from services.shared.imaging.embedding import Embedding, embedding
from services.shared.imaging.parameters import share, whole, word
from services.shared.imaging.segmentation import Segmentation, segmentation
from services.shared.imaging.words import Nms, Task
from services.shared.model_config import ModelConfig
from services.shared.tensors import Array

Predictions = tuple[Prediction, ...] | tuple[Detection, ...] | Segmentation | Embedding
# One picture's outputs without batch dimension, the picture, the labels, and how many predictions at most.
Interpret = Callable[[Sequence[Array], DecodedImage, Sequence[str], int], Predictions]


@dataclass(frozen=True, slots=True)
class Postprocessor:
    """`interpret` makes predictions of the outputs that `outputs` names, in that order; it raises InferenceFailed.

    It may be called from any number of threads at once; where it `takes_long` (more than a fraction of a millisecond),
    not in the event loop.
    """

    task: Task
    outputs: tuple[str, ...]
    interpret: Interpret
    takes_long: bool = False


def choose_postprocessor(config: ModelConfig) -> Postprocessor:
    """By the parameters of a model: `task`, and for detection `nms`, `score_threshold`, `iou_threshold` and
    `max_detections`.

    Detection needs outputs named `boxes`, `scores` and, unless `nms` is `outside`, `classes`; every other task takes
    the first output. Raises InvalidInput naming the parameter or the output.
    """
    task = cast(Task, word(config, "task", get_args(Task), "classification"))
    if task == "detection":
        return _detection(config)
    if not config.outputs:
        raise InvalidInput(f"config of {config.name}: {task} needs an output")
    first = (config.outputs[0].name,)
    match task:
        case "classification":
            return Postprocessor(task, first, lambda given, _, labels, k: top_k(given[0], labels, k))
        case "segmentation":
            return Postprocessor(
                task, first, lambda given, image, labels, _: segmentation(given[0], image, labels), takes_long=True
            )
        case "embedding":
            return Postprocessor(task, first, lambda given, _, __, ___: embedding(given[0]))


def _detection(config: ModelConfig) -> Postprocessor:
    nms = cast(Nms, word(config, "nms", get_args(Nms), "inside"))
    names = ("boxes", "scores") if nms == "outside" else ("boxes", "scores", "classes")
    missing = [name for name in names if name not in {spec.name for spec in config.outputs}]
    if missing:
        raise InvalidInput(
            f"config of {config.name}: detection with nms {nms} needs the outputs {', '.join(names)}, "
            f"and there is no {' and no '.join(missing)}"
        )
    usual = DetectionLimits()
    limits = DetectionLimits(
        share(config, "score_threshold", usual.score_threshold),
        share(config, "iou_threshold", usual.iou_threshold),
        whole(config, "max_detections", usual.max_detections, minimum=1, maximum=10_000),
    )
    return Postprocessor(
        "detection",
        names,
        lambda given, image, labels, k: detections(given, image, labels, limits, k),
        takes_long=nms == "outside",
    )
