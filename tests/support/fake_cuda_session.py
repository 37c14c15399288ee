"""ONNX Runtime's CUDA sessions over a FakeCudaLibrary: an output is its input, read from and written to the addresses
that were bound, times a factor.

Only what the real ones offer under the same name is here, and what they insist on: fixed addresses for a recorded
graph, and the thread that recorded it (`cuda_execution_provider.cc` keeps graphs for each calling thread).
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np

from services.shared.tensors import Array


@dataclass(slots=True)
class Bound:
    """A tensor at its address."""

    element: Any
    shape: tuple[int, ...]
    address: int

    def array(self) -> Array:
        dtype = np.dtype(np.uint16 if self.element == 16 else self.element)
        size = int(np.prod(self.shape)) * dtype.itemsize
        memory = (ctypes.c_uint8 * size).from_address(self.address)
        return np.ctypeslib.as_array(memory).view(dtype).reshape(self.shape)


@dataclass(slots=True)
class FakeBinding:
    inputs: dict[str, Bound] = field(default_factory=dict)
    outputs: dict[str, Bound] = field(default_factory=dict)

    def bind_input(self, name: str, device: str, index: int, element: Any, shape: list[int], address: int) -> None:
        assert (device, index) == ("cuda", 0)
        self.inputs[name] = Bound(element, tuple(shape), address)

    def bind_output(self, name: str, device: str, index: int, element: Any, shape: list[int], address: int) -> None:
        assert (device, index) == ("cuda", 0)
        self.outputs[name] = Bound(element, tuple(shape), address)

    def addresses(self) -> dict[str, int]:
        return {name: bound.address for name, bound in (*self.inputs.items(), *self.outputs.items())}


class FakeCudaSession:
    """`recorded` and `repeated` list the ids of graphs; `plain` counts runs without one; `error` breaks the next run;
    `during` is called in every run."""

    row: tuple[int | str, ...] = (4,)

    def __init__(self, stream: int | None, factor: int = 3) -> None:
        self.stream, self.factor = stream, factor
        self.recorded: list[str] = []
        self.repeated: list[str] = []
        self.plain = 0
        self.error: Exception | None = None
        self.during: Any = None
        self._graphs: dict[str, tuple[int, dict[str, int]]] = {}

    def get_inputs(self) -> list[SimpleNamespace]:
        return [SimpleNamespace(name="x", type="tensor(float)", shape=["batch", *self.row])]

    def get_outputs(self) -> list[SimpleNamespace]:
        return [SimpleNamespace(name="y", type="tensor(float)", shape=["batch", *self.row])]

    def run(self, names: list[str], feed: Mapping[str, Array], options: object) -> list[Array]:
        return [array * self.factor for array in feed.values()]

    def io_binding(self) -> FakeBinding:
        return FakeBinding()

    def run_with_iobinding(self, binding: FakeBinding, options: Mapping[str, str]) -> None:
        if self.error is not None:
            error, self.error = self.error, None
            raise error
        graph = options.get("gpu_graph_id", "-1")
        here = (threading.get_ident(), binding.addresses())
        if graph == "-1":
            self.plain += 1
        elif graph in self._graphs:
            assert self._graphs[graph] == here, "a graph is repeated on another thread, or with other addresses"
            self.repeated.append(graph)
        else:
            assert "disable_synchronize_execution_providers" not in options, "a recording must be waited for"
            self._graphs[graph] = here
            self.recorded.append(graph)
        if self.during is not None:
            self.during(graph)
        for given, made in zip(binding.inputs.values(), binding.outputs.values(), strict=True):
            made.array()[...] = given.array() * self.factor
