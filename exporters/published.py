"""A version that is published already, as its server has it: what prepares pictures for it, and what runs it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from exporters.answers import ServedModel
from exporters.base import ExportFailed
from exporters.recipe import InputRecipe, NetworkRecipe, Recipe
from services.shared.backends.base import Backend, Placement
from services.shared.imaging.settings import parse_image_settings
from services.shared.model_config import ModelConfig
from services.shared.model_ref import ModelRef
from services.shared.repository.base import ModelRepository


@dataclass(frozen=True, slots=True)
class PublishedModel:
    """`path` is its artifact's. `recipe` has as much as prepares pictures for it, and its labels."""

    ref: ModelRef
    path: Path
    config: ModelConfig
    recipe: Recipe
    backend: Backend

    @contextmanager
    def loaded(self) -> Iterator[ServedModel]:
        """What answers, until the end of the block. Raises InferenceFailed for one that does not load."""
        model = self.backend.load(self.path, self.config, Placement(1))
        try:
            yield ServedModel(str(self.ref), model)
        finally:
            model.close()


def published_model(repository: ModelRepository, ref: ModelRef, backends: Mapping[str, Backend]) -> PublishedModel:
    """Raises NotFound for one that is not there, ExportFailed where this machine lacks its backend."""
    artifact, config = repository.artifact(ref), repository.config(ref.name)
    recipe = _recipe_of(repository, config, artifact.path.parent.parent)
    backend = backends.get(config.backend)
    if backend is None:
        raise ExportFailed(f"{ref} needs the backend {config.backend}, which is not on this machine")
    return PublishedModel(ref, artifact.path, config, recipe, backend)


def _recipe_of(repository: ModelRepository, config: ModelConfig, directory: Path) -> Recipe:
    settings = parse_image_settings(config)
    labels = next((repository.labels(config.name, file) for file in config.label_files.values()), ())
    shape = InputRecipe(settings.height, settings.width, settings.channels, (), (), config.parameters)
    return Recipe(config.name, settings.task, labels, NetworkRecipe(), shape, directory)
