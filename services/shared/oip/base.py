"""What the Open Inference Protocol asks and answers, free of any transport.

Sources: kserve/open-inference-protocol and Triton's extensions (`docs/protocol/extension_*.md` of
triton-inference-server/server). Wire forms are in `http_wire.py` and `grpc_wire.py`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from services.shared.errors import InvalidInput, Unsupported
from services.shared.inference.base import InferResult
from services.shared.model_ref import ModelRef
from services.shared.tensors import Array, Tensors, TensorSpec

Parameters = Mapping[str, bool | int | float | str]
# Gives the version that answers for a name (None: no version was asked for); raises NotFound or NotReady.
Resolve = Callable[[str, int | None], Awaitable[ModelRef]]

# As Triton spells them in its server metadata (triton-inference-server/core `src/server.cc`); grayscale_ is ours.
BINARY_TENSOR_DATA = "binary_tensor_data"
LOAD_VERSION = "grayscale_load_version"
EXTENSIONS = (
    "classification",
    "model_repository",
    "model_repository(unload_dependents)",
    "model_configuration",
    BINARY_TENSOR_DATA,
    "parameters",
    "statistics",
    LOAD_VERSION,
)

MAX_RANK = 32
MAX_ELEMENTS = 2**40  # far above every body limit; keeps NumPy's own size arithmetic from overflowing
MAX_CLASSIFICATIONS = 1_000_000  # strings in one answer, as in Triton


@dataclass(frozen=True, slots=True)
class RequestedOutput:
    """An output to give: the tensor itself, or with `classification: k` its k best classes.

    `binary` is the REST binary extension's choice; None leaves it to the request.
    """

    name: str
    classification: int = 0
    binary: bool | None = None


@dataclass(frozen=True, slots=True)
class InferRequest:
    """One inference; `outputs: None` asks for all, `version: None` for whichever answers for the name."""

    model: str
    version: int | None
    inputs: Tensors
    id: str = ""
    parameters: Parameters = field(default_factory=dict)
    outputs: tuple[RequestedOutput, ...] | None = None


@dataclass(frozen=True, slots=True)
class ReleaseTerms:
    """What a transport knows of a request beside its tensors, where releases choose the version: the key that the
    client named, what stands in for one (a browser's cookie, or chance), the id of its API key, and an arm by name."""

    key: bytes | None = None
    stand_in: bytes = b""
    api_key: bytes | None = None
    forced: str | None = None


@dataclass(frozen=True, slots=True)
class Released:
    """Which version answered, as which arm."""

    ref: ModelRef
    arm: str
    result: InferResult


class ReleasedRuns(Protocol):
    """Chooses the version of a request that may name none, and counts how it did."""

    async def run(
        self, request: InferRequest, terms: ReleaseTerms, call: Callable[[ModelRef], Awaitable[InferResult]]
    ) -> Released:
        """Awaits one `call`, a second one where the chosen version is not loaded here, and raises what it raises;
        NotFound, and InvalidInput for an arm that there is not."""
        ...


@dataclass(frozen=True, slots=True)
class OutputTensor:
    """An output as it goes on the wire."""

    name: str
    datatype: str
    array: Array


@dataclass(frozen=True, slots=True)
class InferResponse:
    """The answer, naming the version that gave it; `id` is the request's. `arm` is empty where releases choose
    nothing. `queue_s` and `infer_s`: how long it waited and computed, as InferResult has them."""

    ref: ModelRef
    id: str
    outputs: tuple[OutputTensor, ...]
    arm: str = ""
    queue_s: float = 0.0
    infer_s: float = 0.0


@dataclass(frozen=True, slots=True)
class ServerMetadata:
    """Who serves, and which extensions really work here."""

    name: str
    version: str
    extensions: tuple[str, ...]


def wire_shape(spec: TensorSpec, max_batch_size: int) -> tuple[int, ...]:
    """A tensor's shape as model metadata tells it: with the batch dimension as -1 when the model batches."""
    return (-1, *spec.shape) if max_batch_size > 0 else spec.shape


def check_shape(shape: Sequence[object], *, field: str) -> tuple[int, ...]:
    """The shape of a tensor that a client sent; raises InvalidInput for one that no array can have."""
    sizes = tuple(d for d in shape if isinstance(d, int) and not isinstance(d, bool) and d >= 0)
    if len(sizes) != len(shape) or len(sizes) > MAX_RANK:
        raise InvalidInput(f"{field}: shape must be at most {MAX_RANK} whole numbers from 0", field=field)
    elements = 1
    for size in sizes:
        elements *= max(size, 1)
    if elements > MAX_ELEMENTS:
        raise InvalidInput(f"{field}: shape {list(sizes)} is larger than any tensor", field=field)
    return sizes


def refuse_shared_memory(parameters: Mapping[str, object], *, field: str) -> None:
    """Raises Unsupported for a tensor that is said to lie in shared memory."""
    if "shared_memory_region" in parameters:
        raise Unsupported(f"{field}: shared memory is not served here: send the tensor in the request", field=field)
