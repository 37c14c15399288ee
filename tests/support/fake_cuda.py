"""A CUDA driver without a GPU: its memory is this process's own, and its streams do what they are told at once.

The entry points are C function pointers with the signatures of `cuda.h`, so that arguments which a real driver could
not take fail here as well.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from ctypes import CFUNCTYPE, POINTER, c_char, c_char_p, c_int, c_size_t, c_uint, c_ulonglong, c_void_p
from typing import Any

_OUT_OF_MEMORY, _INVALID_HANDLE, _STREAM_CAPTURE_INVALIDATED = 2, 400, 901


class FakeCudaLibrary:
    """`live` counts what was made and not freed, by kind; `memory_bytes` bounds the GPU's memory; `launches` counts
    repeated graphs; `error` is answered by the next synchronisation; `refuses_capture` breaks every recording."""

    def __init__(self, *, gpus: int = 1, memory_bytes: int = 1 << 30, capability: tuple[int, int] = (9, 0)) -> None:
        self.live = {"device": 0, "pinned": 0, "stream": 0, "graph": 0, "executable": 0}
        self.launches, self.error, self.refuses_capture = 0, 0, False
        self._gpus, self._free, self._capability = gpus, memory_bytes, capability
        self._memory: dict[int, ctypes.Array[c_char]] = {}
        self._recording: dict[int, list[Callable[[], None]]] = {}
        self._graphs: dict[int, list[Callable[[], None]]] = {}
        self._next = 1000
        for name, (types, action) in self._entry_points().items():
            setattr(self, name, CFUNCTYPE(c_int, *types)(action))

    def enqueue(self, stream: int, work: Callable[[], None]) -> None:
        """Work for a stream: done at once, or recorded while the stream is captured."""
        if stream in self._recording:
            self._recording[stream].append(work)
        else:
            work()

    def _entry_points(self) -> dict[str, tuple[tuple[Any, ...], Callable[..., int]]]:
        out, address = POINTER(c_void_p), c_ulonglong
        return {
            "cuInit": ((c_uint,), lambda flags: 0 if self._gpus else 100),
            "cuGetErrorString": ((c_int, POINTER(c_char_p)), self._error_string),
            "cuDeviceGetCount": ((POINTER(c_int),), lambda count: _set(count, self._gpus)),
            "cuDeviceGet": ((POINTER(c_int), c_int), _set),
            "cuDeviceGetName": ((POINTER(c_char), c_int, c_int), self._name),
            "cuDeviceGetAttribute": ((POINTER(c_int), c_int, c_int), self._attribute),
            "cuDevicePrimaryCtxRetain": ((out, c_int), lambda context, device: _set(context, 77 + device)),
            "cuCtxSetCurrent": ((c_void_p,), lambda context: 0 if context in (77, 78) else 201),
            "cuMemAlloc_v2": ((POINTER(address), c_size_t), self._allocate),
            "cuMemFree_v2": ((address,), lambda a: self._release("device", a)),
            "cuMemHostAlloc": ((out, c_size_t, c_uint), lambda a, size, flags: self._host(a, size)),
            "cuMemFreeHost": ((c_void_p,), lambda a: self._release("pinned", a)),
            "cuMemcpyHtoDAsync_v2": ((address, c_void_p, c_size_t, c_void_p), self._copy),
            "cuMemcpyDtoHAsync_v2": ((c_void_p, address, c_size_t, c_void_p), self._copy),
            "cuStreamCreate": ((out, c_uint), lambda stream, flags: self._handle("stream", stream)),
            "cuStreamSynchronize": ((c_void_p,), self._synchronize),
            "cuStreamDestroy_v2": ((c_void_p,), lambda stream: self._drop("stream")),
            "cuStreamBeginCapture_v2": ((c_void_p, c_int), self._begin),
            "cuStreamEndCapture": ((c_void_p, out), self._end),
            "cuGraphInstantiateWithFlags": ((out, c_void_p, c_ulonglong), self._instantiate),
            "cuGraphDestroy": ((c_void_p,), lambda graph: self._drop("graph")),
            "cuGraphLaunch": ((c_void_p, c_void_p), self._launch),
            "cuGraphExecDestroy": ((c_void_p,), lambda graph: self._drop("executable")),
        }

    def _error_string(self, code: int, text: Any) -> int:
        text[0] = {2: b"out of memory", 100: b"no CUDA-capable device is detected"}.get(code, b"some error")
        return 0

    def _name(self, name: Any, size: int, device: int) -> int:
        for i, byte in enumerate(b"NVIDIA Test GPU\0"):
            name[i] = byte
        return 0

    def _attribute(self, value: Any, attribute: int, device: int) -> int:
        return _set(value, self._capability[attribute - 75])

    def _allocate(self, address: Any, size: int) -> int:
        if size > self._free:
            return _OUT_OF_MEMORY
        self._free -= size
        return self._memory_of("device", address, size)

    def _host(self, address: Any, size: int) -> int:
        return self._memory_of("pinned", address, size)

    def _memory_of(self, kind: str, address: Any, size: int) -> int:
        memory = ctypes.create_string_buffer(size)
        self._memory[ctypes.addressof(memory)] = memory
        self.live[kind] += 1
        return _set(address, ctypes.addressof(memory))

    def _release(self, kind: str, address: int) -> int:
        if kind == "device":
            self._free += len(self._memory[address])
        del self._memory[address]
        return self._drop(kind)

    def _copy(self, target: int, source: int, size: int, stream: int) -> int:
        self.enqueue(stream, lambda: _move(target, source, size))
        return 0

    def _synchronize(self, stream: int) -> int:
        error, self.error = self.error, 0
        return error

    def _handle(self, kind: str, handle: Any) -> int:
        self.live[kind] += 1
        self._next += 1
        return _set(handle, self._next)

    def _drop(self, kind: str) -> int:
        self.live[kind] -= 1
        return 0

    def _begin(self, stream: int, mode: int) -> int:
        if stream in self._recording:
            return _STREAM_CAPTURE_INVALIDATED
        self._recording[stream] = []
        return 0

    def _end(self, stream: int, graph: Any) -> int:
        work = self._recording.pop(stream)
        if self.refuses_capture:
            return _STREAM_CAPTURE_INVALIDATED
        self._handle("graph", graph)
        self._graphs[graph[0]] = work
        return 0

    def _instantiate(self, executable: Any, graph: int, flags: int) -> int:
        self._handle("executable", executable)
        self._graphs[executable[0]] = self._graphs[graph]
        return 0

    def _launch(self, executable: int, stream: int) -> int:
        if executable not in self._graphs:
            return _INVALID_HANDLE
        self.launches += 1
        for work in self._graphs[executable]:
            work()
        return 0


def _set(pointer: Any, value: int) -> int:
    pointer[0] = value
    return 0


def _move(target: int, source: int, size: int) -> None:
    ctypes.memmove(target, source, size)
