"""Writes a graph as ONNX Runtime has optimised it, and proves that it still answers the same."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from services.shared.backends.kept_graphs import GRAPH, KeptGraphs
from services.shared.backends.onnx_runtime_session import SessionPlan, first_line, open_session, runtime_version
from services.shared.errors import InferenceFailed
from services.shared.release_memory import release_memory
from services.shared.tensors import BYTES, Array, TensorSpec

# Below this there is nothing to gain: such a model loads in a few milliseconds, and its weights are no burden.
LARGE_BYTES = 4 << 20
_CPU_INFO = Path("/proc/cpuinfo")


def is_large(path: Path) -> bool:
    """Whether the files of a model take enough memory to care. Weights may lie beside the graph, in any file."""
    return sum(each.stat().st_size for each in path.parent.iterdir() if each.is_file()) >= LARGE_BYTES


def optimized_graph(kept: KeptGraphs, path: Path, name: str, inputs: Mapping[str, Array]) -> Path | None:
    """The graph of the file `path` as this runtime optimises it for this processor, proven with `inputs`, or None where
    that cannot be used."""

    def build(directory: Path) -> bool:
        try:
            return _write(path, directory / GRAPH, name, dict(inputs))
        finally:
            release_memory()  # the weights were in memory several times

    return kept.find(path, f"{runtime_version()}\n{processor()}", build)


def can_be_made_up(specs: Sequence[TensorSpec]) -> bool:
    """Whether arrays of these specs can be invented: sizes that are open might not fit together."""
    return all(-1 not in spec.shape and spec.datatype not in (BYTES, "BF16") for spec in specs)


def made_up(specs: Sequence[TensorSpec], rows: int) -> dict[str, Array]:
    """Random inputs, the same at every call."""
    random = np.random.default_rng(0)
    return {spec.name: _random(random, spec, (rows, *spec.shape) if rows else spec.shape) for spec in specs}


def processor(cpu_info: Path = _CPU_INFO) -> str:
    """What the runtime chooses kernels and the layout of weights by: the processor's name and what it can do."""
    try:
        lines = cpu_info.read_text(errors="replace").split("\n\n", 1)[0].splitlines()
    except OSError:
        lines = [f"model name: {platform.processor()}"]
    wanted = ("vendor_id", "model name", "flags", "Features", "CPU implementer", "CPU part")
    return "\n".join([platform.machine(), *(line for line in lines if line.startswith(wanted))])


def _write(source: Path, target: Path, name: str, inputs: dict[str, Array]) -> bool:
    """False when the runtime cannot read back what it wrote (as with an initialiser in a loop's body), or answers
    otherwise with it. Raises InferenceFailed when it could not write in the first place."""
    wanted = _answers(open_session(source, name, SessionPlan(save_to=target)), inputs)
    try:
        found = _answers(open_session(target, name, SessionPlan(optimized=True)), inputs)
    except InferenceFailed:
        return False
    return all(np.array_equal(a, b, equal_nan=a.dtype.kind in "fc") for a, b in zip(wanted, found, strict=True))


def _answers(session: Any, inputs: dict[str, Array]) -> list[Array]:
    try:
        made: list[Array] = session.run(None, inputs)
    except Exception as error:  # the runtime's exceptions have no common base but this
        raise InferenceFailed(first_line(error)) from error
    return made


def _random(random: np.random.Generator, spec: TensorSpec, shape: tuple[int, ...]) -> Array:
    if spec.datatype == "BOOL":
        return random.integers(0, 2, shape).astype(bool)
    if spec.dtype.kind in "iu":
        limit = 256 if spec.dtype.itemsize == 1 and spec.dtype.kind == "u" else 2  # larger ones might be indices
        return random.integers(0, limit, shape).astype(spec.dtype)
    return random.random(shape, dtype=np.float32).astype(spec.dtype)
