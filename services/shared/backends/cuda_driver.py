"""The little of CUDA that serving needs, from the driver itself.

The driver library is on every machine that has an NVIDIA driver, and its entry points keep their meaning over all
versions; so no CUDA toolkit, and no package of its size, is needed to serve. Names and signatures are those of `cuda.h`
(CUDA Driver API; a `_v2` is the 64-bit form that the header's plain name stands for). TensorRT uses each device's
primary context, and so does this.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from ctypes import POINTER, c_char, c_char_p, c_int, c_size_t, c_uint, c_uint64, c_void_p
from typing import Any

from services.shared.errors import InferenceFailed

LIBRARY = "libcuda.so.1"
_THREAD_LOCAL = 1  # CU_STREAM_CAPTURE_MODE_THREAD_LOCAL: other threads may allocate while one captures
_NON_BLOCKING = 1  # CU_STREAM_NON_BLOCKING
_MAJOR, _MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR
_SIGNATURES: dict[str, tuple[Any, ...]] = {
    "cuInit": (c_uint,),
    "cuGetErrorString": (c_int, POINTER(c_char_p)),
    "cuDeviceGetCount": (POINTER(c_int),),
    "cuDeviceGet": (POINTER(c_int), c_int),
    "cuDeviceGetName": (POINTER(c_char), c_int, c_int),
    "cuDeviceGetAttribute": (POINTER(c_int), c_int, c_int),
    "cuDevicePrimaryCtxRetain": (POINTER(c_void_p), c_int),
    "cuCtxSetCurrent": (c_void_p,),
    "cuMemAlloc_v2": (POINTER(c_uint64), c_size_t),
    "cuMemFree_v2": (c_uint64,),
    "cuMemHostAlloc": (POINTER(c_void_p), c_size_t, c_uint),
    "cuMemFreeHost": (c_void_p,),
    "cuMemcpyHtoDAsync_v2": (c_uint64, c_void_p, c_size_t, c_void_p),
    "cuMemcpyDtoHAsync_v2": (c_void_p, c_uint64, c_size_t, c_void_p),
    "cuStreamCreate": (POINTER(c_void_p), c_uint),
    "cuStreamSynchronize": (c_void_p,),
    "cuStreamDestroy_v2": (c_void_p,),
    "cuStreamBeginCapture_v2": (c_void_p, c_int),
    "cuStreamEndCapture": (c_void_p, POINTER(c_void_p)),
    "cuGraphInstantiateWithFlags": (POINTER(c_void_p), c_void_p, c_uint64),
    "cuGraphDestroy": (c_void_p,),
    "cuGraphLaunch": (c_void_p, c_void_p),
    "cuGraphExecDestroy": (c_void_p,),
}


class Cuda:
    """One GPU. Addresses and handles are plain integers; every call raises InferenceFailed with the driver's words.

    `bind` makes the GPU current in the calling thread, which every other call needs.
    """

    def __init__(self, library: Any, index: int) -> None:
        self._library = library
        for name, types in _SIGNATURES.items():
            function = getattr(library, name)
            function.argtypes, function.restype = list(types), c_int
        self._call("cuInit", 0)
        count, device = c_int(), c_int()
        self._call("cuDeviceGetCount", ctypes.byref(count))
        if index >= count.value:
            raise InferenceFailed(f"there is no GPU {index}: this machine has {count.value}")
        self._call("cuDeviceGet", ctypes.byref(device), index)
        self.name = self._device_name(device)
        major, minor = self._attribute(_MAJOR, device), self._attribute(_MINOR, device)
        self.compute_capability = f"{major}.{minor}"
        # Never released: the context is the process's own, and TensorRT's engines live in it too.
        self._context = self._made("cuDevicePrimaryCtxRetain", device)

    def bind(self) -> None:
        self._call("cuCtxSetCurrent", self._context)

    def allocate(self, size_bytes: int) -> int:
        """Memory of the GPU, aligned for every type."""
        address = c_uint64()
        self._call("cuMemAlloc_v2", ctypes.byref(address), max(size_bytes, 1))
        return address.value

    def free(self, address: int) -> None:
        self._call("cuMemFree_v2", address)

    def allocate_pinned(self, size_bytes: int) -> int:
        """Memory of this machine that the GPU copies from and to without another copy in between."""
        address = c_void_p()
        self._call("cuMemHostAlloc", ctypes.byref(address), max(size_bytes, 1), 0)
        return address.value or 0

    def free_pinned(self, address: int) -> None:
        self._call("cuMemFreeHost", address)

    def copy_to_device(self, device: int, pinned: int, size_bytes: int, stream: int) -> None:
        self._call("cuMemcpyHtoDAsync_v2", device, pinned, size_bytes, stream)

    def copy_from_device(self, pinned: int, device: int, size_bytes: int, stream: int) -> None:
        self._call("cuMemcpyDtoHAsync_v2", pinned, device, size_bytes, stream)

    def create_stream(self) -> int:
        return self._made("cuStreamCreate", _NON_BLOCKING)

    def synchronize(self, stream: int) -> None:
        """Blocks until everything given to the stream is done."""
        self._call("cuStreamSynchronize", stream)

    def destroy_stream(self, stream: int) -> None:
        self._call("cuStreamDestroy_v2", stream)

    def capture(self, stream: int, work: Callable[[], None]) -> int:
        """What `work` gives to the stream, as a graph that `launch` repeats; `work` is recorded, not done."""
        self._call("cuStreamBeginCapture_v2", stream, _THREAD_LOCAL)
        try:
            work()
        except BaseException:
            # The stream must leave its capture, or nothing runs on it again; why it began to fail is already known.
            abandoned = c_void_p()
            if self._library.cuStreamEndCapture(stream, ctypes.byref(abandoned)) == 0 and abandoned.value:
                self._library.cuGraphDestroy(abandoned)
            raise
        graph = c_void_p()
        self._call("cuStreamEndCapture", stream, ctypes.byref(graph))
        try:
            return self._made("cuGraphInstantiateWithFlags", graph, 0)
        finally:
            self._call("cuGraphDestroy", graph)

    def launch(self, graph: int, stream: int) -> None:
        self._call("cuGraphLaunch", graph, stream)

    def destroy_graph(self, graph: int) -> None:
        self._call("cuGraphExecDestroy", graph)

    def _made(self, name: str, *arguments: Any) -> int:
        handle = c_void_p()
        self._call(name, ctypes.byref(handle), *arguments)
        return handle.value or 0

    def _attribute(self, attribute: int, device: c_int) -> int:
        value = c_int()
        self._call("cuDeviceGetAttribute", ctypes.byref(value), attribute, device)
        return value.value

    def _device_name(self, device: c_int) -> str:
        name = ctypes.create_string_buffer(256)
        self._call("cuDeviceGetName", name, len(name), device)
        return name.value.decode(errors="replace")

    def _call(self, name: str, *arguments: Any) -> None:
        code = getattr(self._library, name)(*arguments)
        if code != 0:
            text = c_char_p()
            self._library.cuGetErrorString(code, ctypes.byref(text))
            raise InferenceFailed(f"{name} failed: {(text.value or b'unknown error').decode()} (CUDA error {code})")


def open_cuda(index: int = 0) -> Cuda:
    """The GPU of that number; raises InferenceFailed with one sentence that says what this machine lacks."""
    try:
        library = ctypes.CDLL(LIBRARY)
    except OSError as error:
        raise InferenceFailed(f"this machine has no NVIDIA GPU with its driver ({LIBRARY} is not there)") from error
    try:
        return Cuda(library, index)
    except AttributeError as error:
        raise InferenceFailed(f"the NVIDIA driver is too old: {error}") from error
    except InferenceFailed as error:
        raise InferenceFailed(f"the NVIDIA driver offers no usable GPU: {error.detail}") from error
