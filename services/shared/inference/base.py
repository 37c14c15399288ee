"""The only way to run a model, in this process or on another machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from services.shared.engine.base import InferResult, Waiter
from services.shared.model_config import ModelConfig
from services.shared.model_ref import ModelRef
from services.shared.priority import Priority
from services.shared.telemetry.base import DurationTotal, ModelStatistics
from services.shared.tensors import Tensors, TensorSpec

__all__ = [
    "BriefRuns",
    "DurationTotal",
    "IndexEntry",
    "InferResult",
    "InferenceClient",
    "ModelMetadata",
    "ModelStatistics",
    "Waiter",
]


@dataclass(frozen=True, slots=True)
class ModelMetadata:
    """What a model takes and gives; shapes are without the batch dimension. `sha256` is of the file that was loaded,
    empty where a remote server does not tell."""

    ref: ModelRef
    platform: str
    versions: tuple[int, ...]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    max_batch_size: int
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """A model version in the repository; `state` is READY, LOADING, UNLOADING or UNAVAILABLE, `reason` says why."""

    name: str
    version: int | None
    state: str
    reason: str = ""


class BriefRuns(Protocol):
    """Runs for callers in the event loop that cannot afford a task for each request."""

    def brief_size(self, ref: ModelRef) -> int:
        """How many pictures a run may take that is expected to be over in the turn of the loop that begins it, or that
        is a call which many share; 0 where there is no such run. Raises NotFound or NotReady."""
        ...

    def begin(self, ref: ModelRef, inputs: Tensors, waiter: Waiter, arrived_s: Sequence[float]) -> Callable[[], None]:
        """Queues requests of one picture each as one batch: `arrived_s` is when each came, in the clock's monotonic
        seconds. `waiter` hears of the outcome, perhaps before this returns. What is returned withdraws them. Raises as
        `infer` does, and then the waiter hears nothing."""
        ...


class InferenceClient(Protocol):
    """Runs models; raises only ServingError (and CancelledError when its caller is cancelled).

    A cancelled call is cancelled on the wire and in the queue; one caller's failure never touches another. `brief` is
    None where there is no such way.
    """

    brief: BriefRuns | None

    async def infer(
        self,
        ref: ModelRef,
        inputs: Tensors,
        *,
        timeout_s: float | None = None,
        priority: Priority = Priority.NORMAL,
        outputs: Sequence[str] | None = None,
    ) -> InferResult:
        """Runs one request, each input with batch dimension where the model has one; gives the named outputs, or all.

        Raises InvalidInput, NotFound, NotReady, Overloaded, DeadlineExceeded (within `timeout_s`) or InferenceFailed.
        """
        ...

    async def ready(self, ref: ModelRef | None = None) -> bool:
        """Whether a model, or the whole server, can answer; False instead of an error."""
        ...

    async def metadata(self, ref: ModelRef) -> ModelMetadata: ...

    async def config(self, ref: ModelRef) -> ModelConfig: ...

    async def labels(self, ref: ModelRef) -> tuple[str, ...]:
        """The labels of the model's first labelled output, by index; empty when there are none."""
        ...

    async def index(self) -> tuple[IndexEntry, ...]:
        """Every model version in the repository, sorted by name and version."""
        ...

    async def statistics(self, ref: ModelRef | None = None) -> tuple[ModelStatistics, ...]: ...

    async def load(self, name: str, version: int | None = None) -> None:
        """Makes a version (None: those of the version policy) answer on every serving process, or raises the reason."""
        ...

    async def unload(self, name: str, version: int | None = None) -> None:
        """Lets a version (None: all) finish what it was given and frees it."""
        ...

    async def close(self) -> None: ...
