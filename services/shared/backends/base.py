"""What runs a model file. Implementations are the only code that touches a runtime or an accelerator."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from services.shared.model_config import ModelConfig
from services.shared.tensors import Tensors, TensorSpec


class LoadedModel(Protocol):
    """A model in memory.

    `run` blocks and may be called from up to `concurrency` threads at once. It takes each input with its batch
    dimension (any batch from 1 to the config's `max_batch_size`; models with `max_batch_size: 0` have none), gives
    every output, and raises InferenceFailed when the runtime does. `alone` says that nothing else runs or waits in this
    process, so this run may use every core of the machine; an implementation may ignore it. The answer is the same but
    for rounding. `close` frees the device; no `run` comes after it.
    `warnings` names what the config asks for and this backend does not do.

    `inline`: a run only computes, on the CPU, so its time can be told from earlier ones, and a brief one may take place
    in the event loop.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    concurrency: int
    warnings: tuple[str, ...]
    inline: bool

    def run(self, inputs: Tensors, *, alone: bool = False) -> Tensors: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Placement:
    """What a process may use: `cores` is the number of CPU cores that its models share, `wide_cores` the number that a
    run which is alone may use (0: the same)."""

    cores: int
    wide_cores: int = 0


class Backend(Protocol):
    """One runtime."""

    name: str

    def load(self, path: Path, config: ModelConfig, placement: Placement) -> LoadedModel:
        """Blocks; raises InferenceFailed, with a sentence that says why, when the file cannot be run as configured."""
        ...
