"""What to do with a TensorRT engine on this machine. Pure decisions; `tensorrt.py` carries them out.

An engine runs only with the TensorRT version that built it and on a GPU of the same compute capability (NVIDIA TensorRT
documentation, "Version Compatibility" and "Hardware Compatibility"), so a record of both lies beside it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from services.shared.errors import InferenceFailed
from services.shared.model_config import ModelConfig

Shape = tuple[int, ...]
Step = Literal["load", "rebuild", "fall back", "refuse"]


@dataclass(frozen=True, slots=True)
class BatchProfile:
    """The batch sizes that an engine takes, and the one that it is tuned for."""

    smallest: int
    usual: int
    largest: int


@dataclass(frozen=True, slots=True)
class Machine:
    """What an engine must have been built for: `runtime` is the name of TensorRT's Python module."""

    runtime: str
    version: str
    compute_capability: str
    gpu: str


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """How an engine was made; lies beside it as JSON. `batch` is None for a network without a batch dimension."""

    runtime: str
    version: str
    compute_capability: str
    gpu: str
    precision: str
    onnx_sha256: str
    batch: BatchProfile | None

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> EngineInfo:
        """Raises InferenceFailed, naming what is wrong, for a text that `to_json` did not write."""
        try:
            fields: dict[str, Any] = json.loads(text)
            batch = fields.pop("batch")
            made = cls(**fields, batch=None if batch is None else BatchProfile(**batch))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise InferenceFailed(f"the record of the engine cannot be read: {error}") from error
        return made


def batch_profile(max_batch_size: int, preferred: Sequence[int] = ()) -> BatchProfile | None:
    """Every batch up to the largest, tuned for the largest preferred one, else for the largest."""
    if max_batch_size == 0:
        return None
    return BatchProfile(1, min(max(preferred, default=max_batch_size), max_batch_size), max_batch_size)


def input_profile(name: str, shape: Sequence[int], batch: BatchProfile | None) -> tuple[Shape, Shape, Shape] | None:
    """The smallest, usual and largest shape of an input whose ONNX shape is `shape` (-1: any size), or None where it
    has one shape only. Raises InferenceFailed for sizes that nothing bounds."""
    if batch is None:
        if -1 in shape:
            raise InferenceFailed(
                f"input '{name}' has the shape {list(shape)}: without a batch every size must be fixed"
            )
        return None
    if not shape or shape[0] != -1:
        raise InferenceFailed(
            f"input '{name}' has the shape {list(shape)}, without a batch of any size: "
            "export it with a dynamic first dimension"
        )
    if -1 in shape[1:]:
        raise InferenceFailed(f"input '{name}' has the shape {list(shape)}: only the batch may be of any size")
    rest = tuple(shape[1:])
    return (batch.smallest, *rest), (batch.usual, *rest), (batch.largest, *rest)


def mismatch(info: EngineInfo | None, machine: Machine, max_batch_size: int) -> str | None:
    """Why an engine cannot serve here, or None. Of an engine without a record nothing is known: TensorRT decides."""
    if info is None:
        return None
    if (info.runtime, info.version) != (machine.runtime, machine.version):
        return f"it was built by {info.runtime} {info.version}, and this is {machine.runtime} {machine.version}"
    if info.compute_capability != machine.compute_capability:
        return (
            f"it was built for compute capability {info.compute_capability} ({info.gpu}), "
            f"and this GPU has {machine.compute_capability} ({machine.gpu})"
        )
    if info.batch is not None and info.batch.largest < max_batch_size:
        return f"it takes batches up to {info.batch.largest}, and max_batch_size is {max_batch_size}"
    return None


def onnx_flaw(info: EngineInfo | None, sha256: str | None) -> str | None:
    """Why the ONNX file beside an engine cannot stand in for it, or None; `sha256` is the file's, None: no file."""
    if sha256 is None:
        return "there is no model.onnx beside it"
    if info is not None and info.onnx_sha256 != sha256:
        return "the model.onnx beside it is not the file that it was built from"
    return None


def next_step(obstacle: str | None, misfit: str | None, flaw: str | None, *, has_fallback: bool) -> Step:
    """`obstacle`: why TensorRT runs nothing here; `misfit`: why it cannot run this engine; `flaw`: why the ONNX file
    cannot stand in; `has_fallback`: another runtime could run the ONNX file.

    obstacle  misfit  flaw  has_fallback
    no        no                          load
    no        yes     no                  rebuild
    yes               no    yes           fall back
    otherwise                             refuse
    """
    if obstacle is None and misfit is None:
        return "load"
    if flaw is not None:
        return "refuse"
    if obstacle is None:
        return "rebuild"
    return "fall back" if has_fallback else "refuse"


def engine_key(machine: Machine, onnx_sha256: str, batch: BatchProfile | None) -> str:
    """The file name of an engine that was built at load: another machine, network or batch is another name."""
    text = json.dumps([asdict(machine), onnx_sha256, None if batch is None else asdict(batch)])
    return f"{hashlib.sha256(text.encode()).hexdigest()}.plan"


def choose_concurrency(config: ModelConfig) -> int:
    """As many runs at once as the config's instances say; when it says nothing two, so that one run's copies go on
    while another computes."""
    return sum(group.count for group in config.instances) or 2


def choose_gpu(config: ModelConfig) -> tuple[int, tuple[str, ...]]:
    """The GPU to use, and a warning when the config names more than one."""
    named = sorted({gpu for group in config.instances for gpu in group.gpus})
    if len(named) > 1:
        return named[0], (f"instance_group gpus {named} (only GPU {named[0]} is used)",)
    return (named[0] if named else 0), ()


def graph_sizes(config: ModelConfig) -> frozenset[int]:
    """The batch sizes that run as recorded CUDA graphs: with the parameter `cuda_graphs` true these are 1, the
    preferred ones and the largest; each costs an execution context's memory per instance. Raises InferenceFailed for
    another word than true or false."""
    if not _flag(config.parameters, "cuda_graphs", config.name):
        return frozenset()
    preferred = config.batching.preferred_batch_sizes if config.batching else ()
    return frozenset({1, *preferred, max(config.max_batch_size, 1)})


def _flag(parameters: Mapping[str, str], name: str, model: str) -> bool:
    word = parameters.get(name, "false")
    if word not in ("true", "false"):
        raise InferenceFailed(f"config.pbtxt of {model}: {name} is {word!r}: use true or false")
    return word == "true"
