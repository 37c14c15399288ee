"""Scores a published model on labelled pictures, through the preprocessing and the backend that serve it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from exporters.answers import ServedModel
from exporters.base import Accuracy, Array, ExportFailed, LabelledImages, Tell
from exporters.proof.accuracy import measure_accuracy
from exporters.recipe import InputRecipe, NetworkRecipe, Recipe
from services.shared.backends.base import Backend, Placement
from services.shared.imaging.settings import parse_image_settings
from services.shared.model_config import ModelConfig
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
    artifact, config = repository.artifact(ref), repository.config(ref.name)
    recipe = recipe_of(repository, config, artifact.path.parent.parent)
    if recipe.task != "classification":
        raise ExportFailed(f"{ref} does {recipe.task}: only classifiers are scored on labelled pictures")
    backend = backends.get(config.backend)
    if backend is None:
        raise ExportFailed(f"{ref} needs the backend {config.backend}, which is not on this machine")
    images = labelled_images(data, recipe, None)
    model = backend.load(artifact.path, config, Placement(1))
    try:
        probabilities = _answers(ServedModel(str(ref), model), images, min(_BATCH, config.max_batch_size), tell)
    finally:
        model.close()
    return Evaluation(recipe.labels, measure_accuracy(probabilities, images.labels))


def recipe_of(repository: ModelRepository, config: ModelConfig, directory: Path) -> Recipe:
    """A recipe for a model that is published already: enough to prepare pictures for it as the server does."""
    settings = parse_image_settings(config)
    labels = next((repository.labels(config.name, file) for file in config.label_files.values()), ())
    shape = InputRecipe(settings.height, settings.width, settings.channels, (), (), config.parameters)
    return Recipe(config.name, settings.task, labels, NetworkRecipe(), shape, directory)


def _answers(model: ServedModel, images: LabelledImages, batch: int, tell: Tell) -> Array:
    made: list[Array] = []
    for pictures, _ in images.batches(max(batch, 1)):
        outputs = model.run(pictures)
        if OUTPUT not in outputs:
            raise ExportFailed(f"the model has no output {OUTPUT}, only {', '.join(outputs)}")
        made.append(outputs[OUTPUT])
        tell("evaluate", min(len(made) * batch, len(images)), len(images))
    return np.concatenate(made)
