"""ONNX Runtime, on the CPU or on CUDA.

It is imported where it is first needed: a process that never loads an ONNX model does not pay for it.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from services.shared.backends.base import Placement
from services.shared.backends.spec_match import match_specs, without_batch
from services.shared.errors import InferenceFailed, InvalidInput
from services.shared.model_config import ModelConfig
from services.shared.tensors import BYTES, Array, Tensors, TensorSpec

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
_FATAL = 4  # the runtime's own log: what it would print at a lower level comes back as the exception's text
_BFLOAT16 = 16  # TensorProto.DataType in onnx.proto
_DATATYPES = {
    "tensor(bool)": "BOOL",
    **{f"tensor({u}int{bits})": f"{u}int{bits}".upper() for u in ("", "u") for bits in (8, 16, 32, 64)},
    "tensor(float16)": "FP16",
    "tensor(float)": "FP32",
    "tensor(double)": "FP64",
    "tensor(bfloat16)": "BF16",
    "tensor(string)": BYTES,
}


@dataclass(frozen=True, slots=True)
class Threads:
    """How many runs at once share a session, and how many threads each run has."""

    concurrency: int
    intra_op: int


def choose_threads(config: ModelConfig, placement: Placement, *, on_gpu: bool) -> Threads:
    """As many runs as the config's instances say, the cores divided between them; when it says nothing, one
    single-threaded run for each core, which gives the most images per second (one run at a time on a GPU). The config
    parameter `intra_op_thread_count` overrides. Raises InferenceFailed when that is not a whole number from 1.
    """
    said = sum(group.count for group in config.instances)
    concurrency = said or (1 if on_gpu else placement.cores)
    word = config.parameters.get("intra_op_thread_count")
    if word is None:
        return Threads(concurrency, max(1, placement.cores // concurrency))
    if not word.isdecimal() or not 1 <= int(word) <= 1024:
        raise InferenceFailed(
            f"config.pbtxt of {config.name}: intra_op_thread_count is {word!r}: use a whole number from 1 to 1024"
        )
    return Threads(concurrency, int(word))


class OnnxRuntimeModel:
    """One session, called from several threads."""

    def __init__(
        self,
        session: Any,
        inputs: tuple[TensorSpec, ...],
        outputs: tuple[TensorSpec, ...],
        concurrency: int,
        warnings: tuple[str, ...],
    ) -> None:
        self.inputs, self.outputs, self.concurrency, self.warnings = inputs, outputs, concurrency, warnings
        self._session: Any = session
        self._output_names = [spec.name for spec in outputs]
        datatypes = {spec.datatype for spec in (*inputs, *outputs)}
        self._has_bytes, self._has_bf16 = BYTES in datatypes, "BF16" in datatypes

    def run(self, inputs: Tensors) -> Tensors:
        feed = {name: _readable(array) for name, array in inputs.items()}
        try:
            made = self._run_bf16(feed) if self._has_bf16 else self._session.run(self._output_names, feed)
        except Exception as error:  # the runtime's exceptions have no common base but this
            raise InferenceFailed(f"ONNX Runtime: {_first_line(error)}") from error
        if self._has_bytes:
            made = [_bytes(array) for array in made]
        return dict(zip(self._output_names, made, strict=True))

    def close(self) -> None:
        self._session = None

    def _run_bf16(self, inputs: Tensors) -> list[Array]:
        """bfloat16 has no NumPy type of its own: it goes in and out as the runtime's own values."""
        from onnxruntime import OrtValue

        feed = {
            name: OrtValue.ortvalue_from_numpy_with_onnx_type(array.view(np.uint16), _BFLOAT16)
            if array.dtype.name == "bfloat16"
            else OrtValue.ortvalue_from_numpy(array)
            for name, array in ((name, np.asarray(array, order="C")) for name, array in inputs.items())
        }
        made = self._session.run_with_ort_values(self._output_names, feed)
        return [
            _copy_out(value, spec) if spec.datatype == "BF16" else value.numpy()
            for value, spec in zip(made, self.outputs, strict=True)
        ]


class OnnxRuntimeBackend:
    """A model is one session. KIND_GPU without CUDA is refused; KIND_AUTO takes CUDA where it is, else the CPU."""

    name = "onnxruntime"

    def load(self, path: Path, config: ModelConfig, placement: Placement) -> OnnxRuntimeModel:
        device = _device(config)
        threads = choose_threads(config, placement, on_gpu=device is not None)
        session = _session(path, config, threads, device)
        kinds = {group.kind for group in config.instances}
        if "GPU" in kinds and session.get_providers()[0] != CUDA:
            raise InferenceFailed(_no_cuda(config.name))
        return OnnxRuntimeModel(
            session,
            _checked(config, "input", config.inputs, session.get_inputs()),
            _checked(config, "output", config.outputs, session.get_outputs()),
            threads.concurrency,
            tuple(f"optimization.execution_accelerators {a.name} ({a.device})" for a in config.accelerators),
        )


def _device(config: ModelConfig) -> int | None:
    """The CUDA device to use, None for the CPU."""
    from onnxruntime import get_available_providers

    kinds = {group.kind for group in config.instances} or {"AUTO"}
    if kinds == {"CPU"}:
        return None
    if CUDA not in get_available_providers():
        if "GPU" in kinds:
            raise InferenceFailed(_no_cuda(config.name))
        return None
    return next((gpu for group in config.instances for gpu in group.gpus), 0)


def _no_cuda(name: str) -> str:
    return f"config.pbtxt of {name}: instance_group asks for KIND_GPU, but ONNX Runtime has no CUDA on this machine"


def _session(path: Path, config: ModelConfig, threads: Threads, device: int | None) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads.intra_op, 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = _FATAL
    # Threads that spin while they wait take the cores from decoding and from the other runs.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    providers: list[Any] = [CPU] if device is None else [(CUDA, {"device_id": device}), CPU]
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=providers)
    except Exception as error:  # the runtime's exceptions have no common base but this
        raise InferenceFailed(f"{path.name} of {config.name} cannot be loaded: {_first_line(error)}") from error


def _checked(
    config: ModelConfig, word: str, named: Sequence[TensorSpec], found: Iterable[Any]
) -> tuple[TensorSpec, ...]:
    return match_specs(
        config, word, named, {each.name: each for each in found}, lambda each, where: _spec_of(each, config, where)
    )


def _spec_of(each: Any, config: ModelConfig, where: str) -> TensorSpec:
    """The file's dimensions of any size are words or None."""
    datatype = _DATATYPES.get(each.type)
    if datatype is None:
        raise InferenceFailed(f"{where} {each.name!r} is a {each.type} in the file, which cannot be served")
    shape = tuple(d if isinstance(d, int) and d >= 0 else -1 for d in each.shape)
    return without_batch(config, TensorSpec(each.name, datatype, shape), where)


def _readable(array: Array) -> Array:
    """The array as the runtime reads it right. It ignores byte order, and of `bytes` it would take the repr."""
    if array.dtype.kind not in "SO":
        return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))
    made = np.empty(array.shape, dtype=object)
    try:
        made.ravel()[:] = [e.decode() if isinstance(e, bytes) else str(e) for e in array.ravel()]
    except UnicodeDecodeError as error:
        raise InvalidInput("BYTES for an ONNX model must be UTF-8 text") from error
    return made


def _bytes(array: Array) -> Array:
    if array.dtype.kind not in "UO":
        return array
    made = np.empty(array.shape, dtype=object)
    made.ravel()[:] = [str(e).encode() for e in array.ravel()]
    return made


def _copy_out(value: Any, spec: TensorSpec) -> Array:
    buffer = (ctypes.c_char * value.tensor_size_in_bytes()).from_address(value.data_ptr())
    return np.frombuffer(bytes(buffer), dtype=spec.dtype).reshape(value.shape())


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
