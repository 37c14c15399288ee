"""A repository in memory: the twin of the one on disk, for tests of what stands above it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from services.shared.config_pbtxt import parse_config
from services.shared.errors import InferenceFailed, InvalidInput, NotFound
from services.shared.model_config import ModelConfig
from services.shared.model_ref import ModelRef
from services.shared.repository.base import Artifact


@dataclass(slots=True)
class StoredModel:
    """A model's directory: the text of its config (None: there is none), its label files, each version's content."""

    config: str | None
    versions: dict[int, bytes]
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


class MemoryRepository:
    """`models` may be changed at any time. The paths of its artifacts name no files."""

    def __init__(self, models: dict[str, StoredModel] | None = None) -> None:
        self.models: dict[str, StoredModel] = models if models is not None else {}

    def names(self) -> tuple[str, ...]:
        return tuple(sorted(self.models))

    def versions(self, name: str) -> tuple[int, ...]:
        return tuple(sorted(self._model(name).versions))

    def config(self, name: str) -> ModelConfig:
        text = self._model(name).config
        if text is None:
            raise InferenceFailed(f"model '{name}' has no config.pbtxt")
        try:
            return parse_config(text, name=name)
        except InvalidInput as error:
            raise InferenceFailed(error.detail) from error

    def labels(self, name: str, filename: str) -> tuple[str, ...]:
        try:
            return self._model(name).labels[filename]
        except KeyError:
            raise InferenceFailed(f"label file {filename!r} of model '{name}' is not there") from None

    def artifact(self, ref: ModelRef) -> Artifact:
        content = self._model(ref.name).versions.get(ref.version)
        if content is None:
            raise NotFound(f"model '{ref.name}' has no version {ref.version}", field="version")
        path = Path(ref.name) / str(ref.version) / self.config(ref.name).model_filename
        return Artifact(ref, path, hashlib.sha256(content).hexdigest())

    def _model(self, name: str) -> StoredModel:
        try:
            return self.models[name]
        except KeyError:
            raise NotFound(f"model '{name}' is not in the repository", field="model") from None
