"""Scores a published model on labelled pictures, through the preprocessing and the backend that serve it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from exporters.answers import ServedModel
from exporters.base import Accuracy, Array, ExportFailed, LabelledImages, Tell
from exporters.proof.accuracy import measure_accuracy
from exporters.published import published_model
from exporters.recipe import Recipe
from services.shared.backends.base import Backend
from services.shared.model_ref import ModelRef
from services.shared.repository.base import ModelRepository

_BATCH = 32
OUTPUT = "probabilities"


@dataclass(frozen=True, slots=True)
class Evaluation:
    """`accuracy` is per class in the order of `labels`."""

    labels: tuple[str, ...]
    accuracy: Accuracy


def evaluate(
    repository: ModelRepository,
    ref: ModelRef,
    data: str,
    backends: Mapping[str, Backend],
    labelled_images: Callable[[str, Recipe, int | None], LabelledImages],
    tell: Tell,
) -> Evaluation:
    """Raises ExportFailed for a model that is no classifier, or pictures that cannot be read or are of other classes;
    NotFound or InferenceFailed for a model that is not there or does not load."""
    published = published_model(repository, ref, backends)
    recipe = published.recipe
    if recipe.task != "classification":
        raise ExportFailed(f"{ref} does {recipe.task}: only classifiers are scored on labelled pictures")
    images = labelled_images(data, recipe, None)
    with published.loaded() as model:
        probabilities = _answers(model, images, min(_BATCH, published.config.max_batch_size), tell)
    return Evaluation(recipe.labels, measure_accuracy(probabilities, images.labels))


def _answers(model: ServedModel, images: LabelledImages, batch: int, tell: Tell) -> Array:
    made: list[Array] = []
    for pictures, _ in images.batches(max(batch, 1)):
        outputs = model.run(pictures)
        if OUTPUT not in outputs:
            raise ExportFailed(f"the model has no output {OUTPUT}, only {', '.join(outputs)}")
        made.append(outputs[OUTPUT])
        tell("evaluate", min(len(made) * batch, len(images)), len(images))
    return np.concatenate(made)
