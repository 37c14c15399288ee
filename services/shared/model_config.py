"""How a model is to be served, as frozen values; `config_pbtxt.py` reads them from a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from services.shared.tensors import TensorSpec


@dataclass(frozen=True, slots=True)
class QueuePolicy:
    """Bounds of a queue; 0 means none. `timeout_action`: REJECT refuses an expired request, DELAY lets it go last."""

    timeout_action: str = "REJECT"
    default_timeout_us: int = 0
    allow_timeout_override: bool = False
    max_queue_size: int = 0


@dataclass(frozen=True, slots=True)
class DynamicBatching:
    """How requests that wait are joined. `priority_levels: 0` in the file means that the model names no levels."""

    preferred_batch_sizes: tuple[int, ...] = ()
    max_queue_delay_us: int = 0
    preserve_ordering: bool = False
    priority_levels: int = 0
    default_priority_level: int = 0
    queue_policy: QueuePolicy = QueuePolicy()


@dataclass(frozen=True, slots=True)
class InstanceGroup:
    """`kind` is AUTO, CPU or GPU; `count: 0` leaves the number to the backend."""

    kind: str = "AUTO"
    count: int = 0
    gpus: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class VersionPolicy:
    """Which versions of a model are loaded when none is named: the `latest` n, the `specific` ones, else all."""

    latest: int | None = 1
    specific: tuple[int, ...] | None = None

    def select(self, versions: Sequence[int]) -> tuple[int, ...]:
        """Of these versions the ones to load, ascending."""
        if self.specific is not None:
            return tuple(v for v in sorted(versions) if v in self.specific)
        ascending = tuple(sorted(versions))
        return ascending if self.latest is None else ascending[-self.latest :]


@dataclass(frozen=True, slots=True)
class Accelerator:
    """An execution accelerator that the model asks for, on `cpu` or `gpu`."""

    device: str
    name: str
    parameters: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class WarmupInput:
    """`source` is zero, random or the name of a file beneath the model's `warmup/` directory."""

    spec: TensorSpec
    source: str


@dataclass(frozen=True, slots=True)
class Warmup:
    """A request to run `count` times before the model is ready; inputs without batch dimension."""

    name: str
    batch_size: int
    count: int
    inputs: tuple[WarmupInput, ...]


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """One model's configuration, the same for all its versions.

    `max_batch_size: 0` means that tensors have no batch dimension. `batching: None`: requests are never joined.
    """

    name: str
    backend: str
    platform: str
    max_batch_size: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    label_files: Mapping[str, str] = field(default_factory=dict)  # output name -> file
    version_policy: VersionPolicy = VersionPolicy()
    batching: DynamicBatching | None = None
    instances: tuple[InstanceGroup, ...] = ()
    accelerators: tuple[Accelerator, ...] = ()
    warmups: tuple[Warmup, ...] = ()
    parameters: Mapping[str, str] = field(default_factory=dict)
    model_filename: str = ""
    unhonoured: tuple[str, ...] = ()
    message: Any = None  # the ModelConfig protobuf, for those who hand it on
