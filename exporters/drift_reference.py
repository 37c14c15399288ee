"""What a version's evaluation pictures are like, for live pictures to be held against: `reference.json` beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from exporters.base import DecodedPictures, ExportFailed, LabelledImages, Tell
from exporters.base import Reference as Answering
from exporters.published import published_model
from exporters.recipe import Recipe
from services.shared.answer_glimpse import glimpse_of
from services.shared.backends.base import Backend
from services.shared.drift.base import Glimpse, Reference
from services.shared.drift.reference import make_reference
from services.shared.errors import ServingError
from services.shared.imaging.postprocess import choose_postprocessor
from services.shared.model_config import ModelConfig
from services.shared.model_ref import ModelRef
from services.shared.model_view import interpret
from services.shared.repository.base import ModelRepository

MOST_PICTURES = 5000  # more would not move a share by half a percent
_BATCH = 32


def drift_reference(
    model: Answering, config: ModelConfig, labels: Sequence[str], images: LabelledImages, made_from: str
) -> Reference | None:
    """Of at most MOST_PICTURES; None where the images are no pictures (noise, where a recipe names no data).

    Raises ExportFailed when an answer cannot be read as the config's task: the server could not read it either.
    """
    if not isinstance(images, DecodedPictures):
        return None
    try:
        return make_reference(_glimpses(model, config, labels, images), labels, made_from)
    except ServingError as error:
        raise ExportFailed(f"{config.name} has no reference for drift: {error.detail}") from error


def reference_of_published(
    repository: ModelRepository,
    ref: ModelRef,
    data: str,
    backends: Mapping[str, Backend],
    labelled_images: Callable[[str, Recipe, int | None], LabelledImages],
    tell: Tell,
) -> Reference:
    """The same for a version that is published already. Raises ExportFailed for pictures that cannot be read, NotFound
    or InferenceFailed for a model that is not there or does not load."""
    published = published_model(repository, ref, backends)
    tell("reference", 0, 1)
    images = labelled_images(data, published.recipe, MOST_PICTURES)
    with published.loaded() as model:
        made = drift_reference(model, published.config, published.recipe.labels, images, data)
    tell("reference", 1, 1)
    if made is None:
        raise ExportFailed(f"{data} holds no pictures")
    return made


def _glimpses(
    model: Answering, config: ModelConfig, labels: Sequence[str], images: DecodedPictures
) -> Iterator[Glimpse]:
    postprocess, ref = choose_postprocessor(config), ModelRef(config.name, 1)
    for pictures in images.decoded(max(1, min(_BATCH, config.max_batch_size)), MOST_PICTURES):
        outputs = model.run(np.stack([picture.tensor for picture in pictures]))
        for i, picture in enumerate(pictures):
            row = tuple(outputs[name][i] for name in postprocess.outputs)
            yield glimpse_of(ref, postprocess.task, picture, interpret(postprocess, row, picture, tuple(labels), 1))
