"""One run at a time of a TensorRT engine: a stream, and memory at fixed addresses on both sides of the bus."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from services.shared.backends.cuda_buffer import Binding, PinnedBuffer
from services.shared.backends.cuda_driver import Cuda
from services.shared.backends.tensorrt_module import Complaints
from services.shared.errors import InferenceFailed
from services.shared.tensors import Array, Tensors

_PROFILE = 0  # engines are built with one optimisation profile


@dataclass(slots=True)
class _Ready:
    """An execution context set to one batch: the shape of every tensor, and its recorded graph, if any."""

    context: Any
    shapes: Mapping[str, tuple[int, ...]]
    graph: int | None = None


class TensorRtLane:
    """Called by one thread at a time. `graph_sizes` are the batch sizes that are recorded on their first run and
    repeated from then on; each has an execution context of its own, because TensorRT leaves undefined what a graph
    does once its context was set to another shape.
    """

    def __init__(
        self,
        cuda: Cuda,
        engine: Any,
        bindings: Iterable[Binding],
        graph_sizes: frozenset[int],
        complaints: Complaints,
    ) -> None:
        self._cuda, self._engine, self._graph_sizes, self._complaints = cuda, engine, graph_sizes, complaints
        self._recorded: dict[int, _Ready] = {}
        with contextlib.ExitStack() as undo:
            self._stream = cuda.create_stream()
            undo.callback(cuda.destroy_stream, self._stream)
            self._buffers = [PinnedBuffer(cuda, binding, undo) for binding in bindings]
            self._shared = _Ready(self._context(), {})
            self._undo = undo.pop_all()

    def run(self, inputs: Tensors, batch: int) -> dict[str, Array]:
        """Every output, in memory of its own. `batch` is 1 for a model without a batch dimension."""
        self._cuda.bind()
        ready = self._recorded.get(batch) or self._prepared(inputs, batch)
        for buffer in self._buffers:
            if buffer.binding.is_input:
                name = buffer.binding.spec.name
                np.copyto(buffer.array(ready.shapes[name]), inputs[name], casting="equiv")
        if ready.graph is not None:
            self._cuda.launch(ready.graph, self._stream)
        else:
            self._enqueue(ready)
        self._cuda.synchronize(self._stream)
        outputs = {
            buffer.binding.spec.name: buffer.array(ready.shapes[buffer.binding.spec.name]).copy()
            for buffer in self._buffers
            if not buffer.binding.is_input
        }
        if ready.graph is None and batch in self._graph_sizes:
            # After a run outside: what TensorRT does lazily at the first run of a shape must not be recorded.
            ready.graph = self._captured(ready, batch)
            self._recorded[batch] = ready
        return outputs

    def close(self) -> None:
        self._cuda.bind()
        for ready in self._recorded.values():
            if ready.graph is not None:
                self._cuda.destroy_graph(ready.graph)
        self._recorded = {}
        self._shared = _Ready(None, {})  # contexts before the memory that they point to
        self._undo.close()
        self._engine = None

    def _context(self) -> Any:
        context = create_context(self._engine, self._complaints)
        context.set_optimization_profile_async(_PROFILE, self._stream)
        for buffer in self._buffers:
            context.set_tensor_address(buffer.binding.spec.name, buffer.device)
        return context

    def _prepared(self, inputs: Tensors, batch: int) -> _Ready:
        wanted = {b.binding.spec.name: inputs[b.binding.spec.name].shape for b in self._buffers if b.binding.is_input}
        is_recorded = batch in self._graph_sizes
        if not is_recorded and all(self._shared.shapes.get(name) == shape for name, shape in wanted.items()):
            return self._shared
        context = self._context() if is_recorded else self._shared.context
        shapes = set_shapes(context, wanted, [b.binding.spec.name for b in self._buffers])
        for buffer in self._buffers:
            if buffer.bytes_of(shapes[buffer.binding.spec.name]) > buffer.size_bytes:
                raise InferenceFailed(f"a batch of {batch} is larger than what this engine was loaded for")
        ready = _Ready(context, shapes)
        if not is_recorded:
            self._shared = ready
        return ready

    def _captured(self, ready: _Ready, batch: int) -> int:
        try:
            return self._cuda.capture(self._stream, lambda: self._enqueue(ready))
        except InferenceFailed as error:
            raise InferenceFailed(
                f"a run of batch size {batch} cannot be recorded as a CUDA graph: {error.detail}; "
                "set cuda_graphs to false"
            ) from error

    def _enqueue(self, ready: _Ready) -> None:
        cuda, stream = self._cuda, self._stream
        for buffer in self._buffers:
            if buffer.binding.is_input:
                size_bytes = buffer.bytes_of(ready.shapes[buffer.binding.spec.name])
                cuda.copy_to_device(buffer.device, buffer.pinned, size_bytes, stream)
        context = ready.context
        with self._complaints.heard() as complaints:
            if not context.execute_async_v3(stream):
                raise InferenceFailed(f"TensorRT could not run the engine: {'; '.join(complaints)}")
        for buffer in self._buffers:
            if not buffer.binding.is_input:
                size_bytes = buffer.bytes_of(ready.shapes[buffer.binding.spec.name])
                cuda.copy_from_device(buffer.pinned, buffer.device, size_bytes, stream)


def create_context(engine: Any, complaints: Complaints) -> Any:
    """An execution context; raises InferenceFailed when the GPU has no memory for it."""
    with complaints.heard() as heard:
        context = engine.create_execution_context()
    if context is None:
        raise InferenceFailed(f"TensorRT cannot prepare a run of this engine: {'; '.join(heard)}")
    return context


def set_shapes(context: Any, wanted: Mapping[str, tuple[int, ...]], names: Iterable[str]) -> dict[str, tuple[int, ...]]:
    """Sets the inputs' shapes and gives every tensor's; raises InferenceFailed where the engine does not take them, or
    an output's shape depends on the data."""
    for name, shape in wanted.items():
        if not context.set_input_shape(name, shape):
            raise InferenceFailed(f"the engine does not take the shape {list(shape)} for its input '{name}'")
    missing = context.infer_shapes()
    if missing:
        raise InferenceFailed(f"the shapes of the engine's inputs {sorted(missing)} are not known")
    shapes = {name: tuple(context.get_tensor_shape(name)) for name in names}
    for name, shape in shapes.items():
        if any(d < 0 for d in shape):
            raise InferenceFailed(
                f"the shape of output '{name}' depends on the data: pad it to a fixed one in the graph"
            )
    return shapes
