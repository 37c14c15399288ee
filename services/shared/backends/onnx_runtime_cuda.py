"""From a file to an ONNX model on a GPU."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from services.shared.backends.base import LoadedModel
from services.shared.backends.cuda_buffer import Binding
from services.shared.backends.cuda_driver import Cuda
from services.shared.backends.laned_model import LanedModel
from services.shared.backends.onnx_runtime_lane import CudaLane
from services.shared.backends.onnx_runtime_model import OnnxRuntimeModel, SessionRunner
from services.shared.backends.onnx_runtime_session import open_cuda_session, run_options
from services.shared.backends.onnx_runtime_specs import checked_specs
from services.shared.backends.tensorrt_plan import choose_concurrency, graph_sizes
from services.shared.backends.turns import Turns
from services.shared.errors import InferenceFailed
from services.shared.model_config import ModelConfig
from services.shared.tensors import BYTES, TensorSpec

_log = logging.getLogger(__name__)


def open_cuda_model(path: Path, config: ModelConfig, cuda: Cuda, device: int, turns: Turns) -> LoadedModel:
    """On the GPU `device`, which `cuda` drives.

    A model whose sizes are all known has two lanes (or as many as its instances say), so that one run's copies go on
    while another computes; with the config parameter `cuda_graphs` it repeats recorded graphs. Another has one session,
    which copies for itself. Raises InferenceFailed when the file cannot be loaded, CUDA does not run it, or its tensors
    are not those that the config promises.
    """
    sizes = graph_sizes(config)

    def open_session(stream: int | None) -> Any:
        return open_cuda_session(path, config.name, device, stream, graphs=bool(sizes))

    # The first session only tells the tensors: which of them there are decides how the others are made.
    first = open_session(None)
    inputs = checked_specs(config, "input", config.inputs, first.get_inputs())
    outputs = checked_specs(config, "output", config.outputs, first.get_outputs())
    warnings = tuple(f"optimization.execution_accelerators {a.name} ({a.device})" for a in config.accelerators)
    if not can_be_bound((*inputs, *outputs)):
        if sizes:
            raise InferenceFailed(f"config.pbtxt of {config.name}: cuda_graphs needs a fixed size for every dimension")
        session = SessionRunner(first, outputs, large=True)
        batched = config.max_batch_size > 0
        return OnnxRuntimeModel(
            session, None, inputs, outputs, concurrency=1, warnings=warnings, batched=batched, inline=False
        )
    del first
    lanes = _lanes(config, cuda, device, open_session, bindings_of(inputs, outputs, config.max_batch_size), turns)
    model = LanedModel(lanes, inputs, outputs, batched=config.max_batch_size > 0)
    model.warnings = warnings
    graphs = sorted(sizes) or "none"
    _log.info("%s runs on %s: %d lanes, CUDA graphs for batches: %s", config.name, cuda.name, len(lanes), graphs)
    return model


def _lanes(
    config: ModelConfig,
    cuda: Cuda,
    device: int,
    open_session: Callable[[int], Any],
    bindings: Sequence[Binding],
    turns: Turns,
) -> list[CudaLane]:
    """All of them, or none: what was made before one fails is freed."""
    lanes: list[CudaLane] = []
    sizes, batched = graph_sizes(config), config.max_batch_size > 0
    with contextlib.ExitStack() as undo:
        for _ in range(choose_concurrency(config)):
            lane = CudaLane(
                cuda, device, open_session, run_options, bindings, graph_sizes=sizes, turns=turns, batched=batched
            )
            undo.callback(lane.close)
            lanes.append(lane)
        undo.pop_all()
    return lanes


def can_be_bound(specs: Iterable[TensorSpec]) -> bool:
    """Whether every tensor can have memory before it is known what is in it."""
    return all(-1 not in spec.shape and spec.datatype != BYTES for spec in specs)


def bindings_of(inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], max_batch_size: int) -> list[Binding]:
    return [
        Binding(spec, is_input, (max_batch_size, *spec.shape) if max_batch_size else spec.shape)
        for specs, is_input in ((inputs, True), (outputs, False))
        for spec in specs
    ]
