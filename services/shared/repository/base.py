"""Where servable models lie, in Triton's layout: `<model>/config.pbtxt`, `labels.txt`, `<version>/model.onnx`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from services.shared.model_config import ModelConfig
from services.shared.model_ref import ModelRef


@dataclass(frozen=True, slots=True)
class Artifact:
    """A version's files on this machine, ready to load; `sha256` is of `path`, verified when a checksum is recorded."""

    ref: ModelRef
    path: Path
    sha256: str


class ModelRepository(Protocol):
    """A version appears whole or not at all. Calls block, and raise NotFound or InferenceFailed with the reason."""

    def names(self) -> tuple[str, ...]:
        """Every model with a directory, sorted, whether or not it can be read."""
        ...

    def versions(self, name: str) -> tuple[int, ...]:
        """Every version, ascending; raises NotFound for an unknown model."""
        ...

    def config(self, name: str) -> ModelConfig:
        """The model's config as it stands now; raises InferenceFailed naming line and column of an error."""
        ...

    def labels(self, name: str, filename: str) -> tuple[str, ...]:
        """The lines of a label file in the model's directory; raises InferenceFailed when it is not there."""
        ...

    def artifact(self, ref: ModelRef) -> Artifact:
        """The model file, its checksum verified; raises NotFound or InferenceFailed."""
        ...
