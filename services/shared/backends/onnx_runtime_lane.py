"""One run at a time of an ONNX model on CUDA: a session on a stream of its own, and memory at fixed addresses.

Facts about the runtime's CUDA provider that shape this (its sources, `cuda_execution_provider.cc` and
`cuda_graph.cc`): it keeps recorded graphs for each calling thread, so a lane that records has a thread of its own;
it records in CUDA's global mode, in which what other threads do on the GPU may break the recording, so nothing else
runs meanwhile; and the run that records repeats itself until the graph is there.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from services.shared.backends.cuda_buffer import Binding, PinnedBuffer
from services.shared.backends.cuda_driver import Cuda
from services.shared.backends.turns import Turns
from services.shared.errors import InferenceFailed

if TYPE_CHECKING:
    from services.shared.tensors import Array, Tensors

_BFLOAT16 = 16  # TensorProto.DataType in onnx.proto: bfloat16 has no NumPy type of its own
_NO_GRAPH = "-1"  # the run is neither recorded nor repeated (onnxruntime_run_options_config_keys.h)

Shape = tuple[int, ...]


@dataclass(slots=True)
class _Ready:
    """What a batch size runs with: every tensor bound at its address, and the options."""

    shapes: Mapping[str, Shape]
    binding: Any
    options: Any
    is_recorded: bool


class CudaLane:
    """Called by one thread at a time.

    `open_session(stream)` gives the session that works on that stream; `run_options(entries)` the runtime's options for
    a run. `graph_sizes` are the batch sizes that are recorded on their first run and repeated from then on. `turns` is
    shared by all lanes of the process. `batched`: the first dimension of every tensor is the batch.
    """

    def __init__(
        self,
        cuda: Cuda,
        device: int,
        open_session: Callable[[int], Any],
        run_options: Callable[[Mapping[str, str]], Any],
        bindings: Iterable[Binding],
        *,
        graph_sizes: frozenset[int] = frozenset(),
        turns: Turns,
        batched: bool = True,
    ) -> None:
        self._cuda, self._device, self._run_options = cuda, device, run_options
        self._graph_sizes, self._turns, self._batched = graph_sizes, turns, batched
        self._ready: dict[int, _Ready] = {}
        cuda.bind()
        with contextlib.ExitStack() as undo:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="cuda-lane") if graph_sizes else None
            if self._thread is not None:
                undo.callback(self._thread.shutdown)
            self._stream = cuda.create_stream()
            undo.callback(cuda.destroy_stream, self._stream)
            self._buffers = [PinnedBuffer(cuda, binding, undo) for binding in bindings]
            self._session = open_session(self._stream)
            self._undo = undo.pop_all()

    def run(self, inputs: Tensors, batch: int) -> dict[str, Array]:
        """Every output, in memory of its own. `batch` is 1 for a model without batches. Raises InferenceFailed."""
        if self._thread is None:
            return self._run(inputs, batch)
        return self._thread.submit(self._run, inputs, batch).result()

    def close(self) -> None:
        self._cuda.bind()
        self._ready = {}  # bindings before the session, and both before the memory that they point to
        self._session = None
        self._undo.close()

    def _run(self, inputs: Tensors, batch: int) -> dict[str, Array]:
        self._cuda.bind()
        ready = self._ready.get(batch) or self._prepared(batch)
        for buffer in self._inputs():
            name = buffer.binding.spec.name
            np.copyto(buffer.array(ready.shapes[name]), inputs[name], casting="equiv")
        with self._turns.shared() if ready.is_recorded else self._turns.exclusive():
            self._enqueue(ready, batch)
        if not ready.is_recorded:
            ready.options = self._options(batch, wait=False)
            ready.is_recorded = True
        return {
            buffer.binding.spec.name: buffer.array(ready.shapes[buffer.binding.spec.name]).copy()
            for buffer in self._buffers
            if not buffer.binding.is_input
        }

    def _enqueue(self, ready: _Ready, batch: int) -> None:
        cuda, stream = self._cuda, self._stream
        for buffer in self._inputs():
            size_bytes = buffer.bytes_of(ready.shapes[buffer.binding.spec.name])
            cuda.copy_to_device(buffer.device, buffer.pinned, size_bytes, stream)
        try:
            self._session.run_with_iobinding(ready.binding, ready.options)
        except Exception as error:  # the runtime's exceptions have no common base but this
            more = "" if ready.is_recorded else "; if it cannot be recorded as a CUDA graph, set cuda_graphs to false"
            raise InferenceFailed(f"ONNX Runtime: a run of batch size {batch} on CUDA failed: {error}{more}") from error
        for buffer in self._buffers:
            if not buffer.binding.is_input:
                size_bytes = buffer.bytes_of(ready.shapes[buffer.binding.spec.name])
                cuda.copy_from_device(buffer.pinned, buffer.device, size_bytes, stream)
        cuda.synchronize(stream)

    def _prepared(self, batch: int) -> _Ready:
        shapes = {
            buffer.binding.spec.name: (batch, *buffer.binding.largest[1:]) if self._batched else buffer.binding.largest
            for buffer in self._buffers
        }
        for buffer in self._buffers:
            if buffer.bytes_of(shapes[buffer.binding.spec.name]) > buffer.size_bytes:
                raise InferenceFailed(f"a batch of {batch} is larger than what this model was loaded for")
        binding = self._session.io_binding()
        for buffer in self._buffers:
            spec = buffer.binding.spec
            element = _BFLOAT16 if spec.datatype == "BF16" else spec.dtype.type
            where = (spec.name, "cuda", self._device, element, list(shapes[spec.name]), buffer.device)
            (binding.bind_input if buffer.binding.is_input else binding.bind_output)(*where)
        is_graph = batch in self._graph_sizes
        ready = _Ready(shapes, binding, self._options(batch, wait=is_graph), is_recorded=not is_graph)
        self._ready[batch] = ready
        return ready

    def _options(self, batch: int, *, wait: bool) -> Any:
        """`wait`: the runtime returns only when the GPU is done, as a run that records needs. Otherwise the copies that
        follow on the same stream wait for it."""
        entries = {} if wait else {"disable_synchronize_execution_providers": "1"}
        if self._graph_sizes:
            entries["gpu_graph_id"] = str(batch) if batch in self._graph_sizes else _NO_GRAPH
        return self._run_options(entries)

    def _inputs(self) -> list[PinnedBuffer]:
        return [buffer for buffer in self._buffers if buffer.binding.is_input]
