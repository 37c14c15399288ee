"""What the engine tells about the models that it runs."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from services.shared.errors import ServingError
from services.shared.model_config import ModelConfig
from services.shared.model_ref import ModelRef
from services.shared.tensors import Tensors, TensorSpec


@dataclass(slots=True)  # not frozen: one is made for every run, and freezing takes four times as long
class InferResult:
    """Outputs by name, with the batch dimension where the model has one; how long it waited and computed, in seconds,
    and how many elements its run had, those of others included (0 where a remote server does not tell)."""

    outputs: Tensors
    queue_s: float = 0.0
    infer_s: float = 0.0
    run_size: int = 0


class Waiter(Protocol):
    """Who hears of a request's outcome: an asyncio future, or what needs no task."""

    def done(self) -> bool: ...

    def set_result(self, result: InferResult, /) -> None: ...

    def set_exception(self, error: ServingError, /) -> None: ...


class State(enum.StrEnum):
    """The repository index's words for a version."""

    READY = "READY"
    LOADING = "LOADING"
    UNLOADING = "UNLOADING"
    UNAVAILABLE = "UNAVAILABLE"


@dataclass(frozen=True, slots=True)
class VersionState:
    """What a version does now; `reason` says why it is UNAVAILABLE."""

    state: State
    reason: str = ""


@dataclass(frozen=True, slots=True)
class LoadedVersion:
    """A version that answers. Shapes are without the batch dimension.

    `labels` is by output name, for the outputs that name a label file. `sha256` is of the file that was loaded.
    `batch_sizes` are those that ran once before the version was ready, ascending; requests are joined to these only.
    """

    ref: ModelRef
    config: ModelConfig
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    labels: Mapping[str, tuple[str, ...]]
    sha256: str
    batch_sizes: tuple[int, ...]
    concurrency: int
