from __future__ import annotations

import ctypes

import pytest

from services.shared.backends import cuda_driver
from services.shared.backends.cuda_driver import Cuda, open_cuda
from services.shared.errors import InferenceFailed
from tests.support.fake_cuda import FakeCudaLibrary


def test_gpu_tells_its_name_and_compute_capability() -> None:
    cuda = Cuda(FakeCudaLibrary(capability=(8, 6)), 0)
    assert (cuda.name, cuda.compute_capability) == ("NVIDIA Test GPU", "8.6")


def test_bytes_go_to_the_gpu_and_come_back() -> None:
    library = FakeCudaLibrary()
    cuda = Cuda(library, 0)
    cuda.bind()
    stream, device = cuda.create_stream(), cuda.allocate(5)
    there, back = cuda.allocate_pinned(5), cuda.allocate_pinned(5)
    ctypes.memmove(there, b"hello", 5)
    cuda.copy_to_device(device, there, 5, stream)
    cuda.copy_from_device(back, device, 5, stream)
    cuda.synchronize(stream)
    assert ctypes.string_at(back, 5) == b"hello"
    cuda.free(device)
    cuda.free_pinned(there)
    cuda.free_pinned(back)
    cuda.destroy_stream(stream)
    assert set(library.live.values()) == {0}


def test_captured_work_is_done_at_each_launch_and_not_before() -> None:
    library = FakeCudaLibrary()
    cuda = Cuda(library, 0)
    stream, device, pinned = cuda.create_stream(), cuda.allocate(1), cuda.allocate_pinned(1)
    graph = cuda.capture(stream, lambda: cuda.copy_to_device(device, pinned, 1, stream))
    for byte in (b"a", b"b"):
        ctypes.memmove(pinned, byte, 1)
        assert ctypes.string_at(device, 1) != byte
        cuda.launch(graph, stream)
        assert ctypes.string_at(device, 1) == byte
    cuda.destroy_graph(graph)
    assert (library.live["graph"], library.live["executable"]) == (0, 0)


def test_stream_is_usable_after_a_capture_that_failed() -> None:
    cuda = Cuda(library := FakeCudaLibrary(), 0)
    stream = cuda.create_stream()

    def breaks() -> None:
        raise InferenceFailed("the engine broke")

    with pytest.raises(InferenceFailed, match="the engine broke"):
        cuda.capture(stream, breaks)
    assert library.live["graph"] == 0
    cuda.destroy_graph(cuda.capture(stream, lambda: None))


def test_failure_tells_the_drivers_words() -> None:
    cuda = Cuda(FakeCudaLibrary(memory_bytes=10), 0)
    with pytest.raises(InferenceFailed, match=r"cuMemAlloc_v2 failed: out of memory \(CUDA error 2\)"):
        cuda.allocate(11)


@pytest.mark.parametrize(
    ("library", "index", "sentence"),
    [
        (FakeCudaLibrary(gpus=0), 0, "no usable GPU: cuInit failed: no CUDA-capable device is detected"),
        (FakeCudaLibrary(gpus=1), 1, "there is no GPU 1: this machine has 1"),
        (object(), 0, "the NVIDIA driver is too old"),
    ],
)
def test_driver_without_the_gpu_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, library: object, index: int, sentence: str
) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: library)
    with pytest.raises(InferenceFailed, match=sentence):
        open_cuda(index)


def test_machine_without_a_driver_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_driver, "LIBRARY", "libcuda-that-is-not-there.so.1")
    with pytest.raises(InferenceFailed, match="no NVIDIA GPU with its driver"):
        open_cuda()
