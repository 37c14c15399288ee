"""A TensorRT engine in memory, from its serialized bytes to runs by several threads."""

from __future__ import annotations

import contextlib
from typing import Any

from services.shared.backends.cuda_buffer import Binding
from services.shared.backends.cuda_driver import Cuda
from services.shared.backends.laned_model import LanedModel
from services.shared.backends.spec_match import match_specs, without_batch
from services.shared.backends.tensorrt_lane import TensorRtLane, create_context, set_shapes
from services.shared.backends.tensorrt_module import Complaints, TensorRt
from services.shared.backends.tensorrt_plan import choose_concurrency, graph_sizes
from services.shared.errors import InferenceFailed
from services.shared.model_config import ModelConfig
from services.shared.tensors import TensorSpec

_DATATYPES = {  # trt.DataType
    "FLOAT": "FP32",
    "HALF": "FP16",
    "BF16": "BF16",
    "INT8": "INT8",
    "INT32": "INT32",
    "INT64": "INT64",
    "UINT8": "UINT8",
    "BOOL": "BOOL",
}


class EngineUnfit(InferenceFailed):
    """This engine cannot run on this machine as configured; one built here from the same network may."""


def open_model(library: TensorRt, cuda: Cuda, data: bytes, config: ModelConfig) -> LanedModel:
    """The engine with its lanes, on the GPU of `cuda`.

    Raises EngineUnfit when this TensorRT or GPU cannot run the engine, InferenceFailed when the engine has not the
    tensors that the config promises or the GPU has no memory for it.
    """
    sizes = graph_sizes(config)
    cuda.bind()
    with library.complaints.heard() as complaints:
        runtime = library.api.Runtime(library.logger)
        engine = runtime.deserialize_cuda_engine(data)
    if engine is None:
        raise EngineUnfit(f"TensorRT {library.version} cannot read it: {_last(complaints)}")
    specs = {spec.name: spec for spec in _specs(engine)}
    given = [name for name in specs if engine.get_tensor_mode(name) == library.api.TensorIOMode.INPUT]
    bindings = _bindings(engine, specs, given, config.max_batch_size, library.complaints)
    inputs = match_specs(config, "input", config.inputs, {n: specs[n] for n in given}, _reader(config))
    made = {name: spec for name, spec in specs.items() if name not in given}
    outputs = match_specs(config, "output", config.outputs, made, _reader(config))
    with contextlib.ExitStack() as undo:
        lanes = []
        for _ in range(choose_concurrency(config)):
            lane = TensorRtLane(cuda, engine, bindings, sizes, library.complaints)
            undo.callback(lane.close)
            lanes.append(lane)
        undo.pop_all()
    return LanedModel(lanes, inputs, outputs, batched=config.max_batch_size > 0, runtime=runtime)


def _specs(engine: Any) -> list[TensorSpec]:
    """Every tensor as the engine has it, the batch included."""
    specs = []
    for i in range(engine.num_io_tensors):
        name = engine.get_tensor_name(i)
        word = engine.get_tensor_dtype(name).name
        if word not in _DATATYPES:
            raise InferenceFailed(f"the engine's tensor '{name}' is a {word}, which cannot be served")
        specs.append(TensorSpec(name, _DATATYPES[word], tuple(engine.get_tensor_shape(name))))
    return specs


def _reader(config: ModelConfig) -> Any:
    return lambda spec, where: without_batch(config, spec, where)


def _bindings(
    engine: Any, specs: dict[str, TensorSpec], given: list[str], max_batch_size: int, complaints: Complaints
) -> list[Binding]:
    """Every tensor with its shape at the largest batch."""
    wanted = {}
    for name in given:
        largest = tuple(engine.get_tensor_profile_shape(name, 0)[2])
        if max_batch_size and specs[name].shape[:1] == (-1,):
            if largest[0] < max_batch_size:
                raise EngineUnfit(f"it takes batches up to {largest[0]}, and max_batch_size is {max_batch_size}")
            largest = (max_batch_size, *largest[1:])
        wanted[name] = largest
    shapes = set_shapes(create_context(engine, complaints), wanted, list(specs))
    return [Binding(spec, spec.name in given, shapes[spec.name]) for spec in specs.values()]


def _last(complaints: list[str]) -> str:
    return complaints[-1] if complaints else "it gives no reason"
