"""TensorRT's interface over ONNX Runtime, in memory of a FakeCudaLibrary: an engine is its ONNX file.

Takes the place of the module `tensorrt`: `import_module("tests.support.fake_tensorrt")`. Only what the real one offers
under the same name is here.
"""

from __future__ import annotations

import ctypes
import enum
import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from tests.support.fake_cuda import FakeCudaLibrary

__version__ = "11.4.0.106"
MAGIC = b"fake engine\n"
device = FakeCudaLibrary()  # where engines run; tests put a fresh one here
fail_execution = False  # tests: the next runs break

_TYPES = {"tensor(float)": ("FLOAT", np.float32), "tensor(uint8)": ("UINT8", np.uint8)}
_TYPES |= {"tensor(double)": ("FP64", np.float64), "tensor(bfloat16)": ("BF16", np.uint16)}


class TensorIOMode(enum.Enum):
    INPUT, OUTPUT = 1, 2


class MemoryPoolType(enum.Enum):
    WORKSPACE = 0


class ILogger:
    class Severity(enum.IntEnum):
        INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = range(5)

    def log(self, severity: Severity, message: str) -> None:
        raise NotImplementedError


def serialized(onnx: bytes, largest: int) -> bytes:
    """An engine that takes batches up to `largest`."""
    return MAGIC + json.dumps({"version": __version__, "largest": largest}).encode() + b"\n" + onnx


class Runtime:
    def __init__(self, logger: ILogger) -> None:
        self._logger = logger

    def deserialize_cuda_engine(self, data: bytes) -> Engine | None:
        if not data.startswith(MAGIC):
            self._logger.log(ILogger.Severity.ERROR, "magic tag does not match")
            return None
        header, _, onnx = data[len(MAGIC) :].partition(b"\n")
        return Engine(onnx, json.loads(header)["largest"], self._logger)


class Engine:
    def __init__(self, onnx: bytes, largest: int, logger: ILogger) -> None:
        from onnxruntime import InferenceSession

        self.session, self.largest, self.logger = InferenceSession(onnx), largest, logger
        self.given = {each.name: each for each in self.session.get_inputs()}
        self.made = {each.name: each for each in self.session.get_outputs()}
        self._all = {**self.given, **self.made}
        self.num_io_tensors = len(self._all)

    def get_tensor_name(self, index: int) -> str:
        return list(map(str, self._all))[index]

    def get_tensor_mode(self, name: str) -> TensorIOMode:
        return TensorIOMode.INPUT if name in self.given else TensorIOMode.OUTPUT

    def get_tensor_dtype(self, name: str) -> Any:
        return SimpleNamespace(name=_TYPES[self._all[name].type][0])

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return tuple(d if isinstance(d, int) else -1 for d in self._all[name].shape)

    def get_tensor_profile_shape(self, name: str, profile: int) -> list[tuple[int, ...]]:
        shape = self.get_tensor_shape(name)
        return [tuple(size if d == -1 else d for d in shape) for size in (1, self.largest, self.largest)]

    def create_execution_context(self) -> Context | None:
        return Context(self)

    def array(self, name: str, address: int, shape: tuple[int, ...]) -> Any:
        dtype = np.dtype(_TYPES[self._all[name].type][1])
        memory = (ctypes.c_uint8 * (math.prod(shape) * dtype.itemsize)).from_address(address)
        return np.ctypeslib.as_array(memory).view(dtype).reshape(shape)


class Context:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._addresses: dict[str, int] = {}

    def set_optimization_profile_async(self, index: int, stream: int) -> bool:
        return index == 0

    def set_tensor_address(self, name: str, address: int) -> bool:
        self._addresses[name] = address
        return True

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        wanted = self._engine.get_tensor_shape(name)
        fits = len(shape) == len(wanted) and all(w in (-1, s) for w, s in zip(wanted, shape, strict=True))
        if not fits or (wanted[:1] == (-1,) and not 1 <= shape[0] <= self._engine.largest):
            return False
        self._shapes[name] = tuple(shape)
        return True

    def infer_shapes(self) -> list[str]:
        return [name for name in self._engine.given if name not in self._shapes]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        if name in self._shapes:
            return self._shapes[name]
        batch = next(iter(self._shapes.values()))[:1]
        shape = self._engine.get_tensor_shape(name)
        return (*batch, *shape[1:]) if shape[:1] == (-1,) else shape

    def execute_async_v3(self, stream: int) -> bool:
        if fail_execution:
            self._engine.logger.log(ILogger.Severity.ERROR, "an illegal memory access")
            return False
        shapes = {name: self.get_tensor_shape(name) for name in self._addresses}  # as set now, not when it runs
        device.enqueue(stream, lambda: self._execute(shapes))
        return True

    def _execute(self, shapes: dict[str, tuple[int, ...]]) -> None:
        engine = self._engine
        feed = {name: engine.array(name, self._addresses[name], shapes[name]) for name in engine.given}
        for name, array in zip(engine.made, engine.session.run(list(engine.made), feed), strict=True):
            engine.array(name, self._addresses[name], shapes[name])[...] = array


class Builder:
    def __init__(self, logger: ILogger) -> None:
        pass

    def create_network(self, flags: int) -> Any:
        return SimpleNamespace(flags=flags, onnx=b"", num_inputs=0, inputs=[], get_input=None)

    def create_builder_config(self) -> Settings:
        return Settings()

    def create_optimization_profile(self) -> Any:
        profile = SimpleNamespace(shapes={})
        profile.set_shape = lambda name, least, usual, largest: profile.shapes.update({name: largest})
        return profile

    def build_serialized_network(self, network: Any, settings: Settings) -> bytes:
        largest = max((shape[0] for each in settings.profiles for shape in each.shapes.values()), default=1)
        return serialized(network.onnx, largest)


class Settings:
    builder_optimization_level = 3

    def __init__(self) -> None:
        self.profiles: list[Any] = []

    def set_memory_pool_limit(self, pool: MemoryPoolType, size: int) -> None:
        assert size > 0

    def add_optimization_profile(self, profile: Any) -> int:
        self.profiles.append(profile)
        return len(self.profiles) - 1

    def create_timing_cache(self, data: bytes) -> Any:
        return SimpleNamespace(data=data, serialize=lambda: b"measured")

    def set_timing_cache(self, cache: Any, ignore_mismatch: bool) -> bool:
        return cache.data in (b"", b"measured")


class OnnxParser:
    def __init__(self, network: Any, logger: ILogger) -> None:
        self._network = network
        self.num_errors = 0

    def parse_from_file(self, path: str) -> bool:
        import onnx

        try:
            model = onnx.load_from_string(data := Path(path).read_bytes())
        except Exception:
            self.num_errors = 1
            return False
        inputs = [
            SimpleNamespace(name=each.name, shape=[d.dim_value or -1 for d in each.type.tensor_type.shape.dim])
            for each in model.graph.input
        ]
        self._network.onnx, self._network.num_inputs = data, len(inputs)
        self._network.get_input = lambda i: inputs[i]
        return True

    def get_error(self, index: int) -> Any:
        return SimpleNamespace(
            desc=lambda: "Failed to parse the ONNX model.",
            node_name=lambda: "",
            node_operator=lambda: "",
            code=lambda: "ErrorCode.MODEL_DESERIALIZE_FAILED",
        )
