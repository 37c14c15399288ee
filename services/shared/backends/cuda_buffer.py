"""A tensor's memory on both sides of the bus."""

from __future__ import annotations

import contextlib
import ctypes
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from services.shared.backends.cuda_driver import Cuda

if TYPE_CHECKING:
    from services.shared.tensors import Array, TensorSpec


@dataclass(frozen=True, slots=True)
class Binding:
    """A tensor of a model on a GPU; `largest` is its shape at the largest batch, the batch included."""

    spec: TensorSpec
    is_input: bool
    largest: tuple[int, ...]

    @property
    def size_bytes(self) -> int:
        return math.prod(self.largest) * self.spec.dtype.itemsize


class PinnedBuffer:
    """A binding's memory: on the GPU, and pinned on this machine, where `array` shows it. `undo` frees both."""

    def __init__(self, cuda: Cuda, binding: Binding, undo: contextlib.ExitStack) -> None:
        self.binding, self.size_bytes = binding, binding.size_bytes
        self.device = cuda.allocate(self.size_bytes)
        undo.callback(cuda.free, self.device)
        self.pinned = cuda.allocate_pinned(self.size_bytes)
        undo.callback(cuda.free_pinned, self.pinned)
        memory = (ctypes.c_uint8 * max(self.size_bytes, 1)).from_address(self.pinned)
        self._bytes: Array = np.ctypeslib.as_array(memory)

    def bytes_of(self, shape: tuple[int, ...]) -> int:
        return math.prod(shape) * self.binding.spec.dtype.itemsize

    def array(self, shape: tuple[int, ...]) -> Array:
        view: Array = self._bytes[: self.bytes_of(shape)].view(self.binding.spec.dtype)
        return view.reshape(shape)
