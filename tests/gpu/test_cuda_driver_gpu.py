"""The driver itself: what the twin in `tests/support/fake_cuda.py` stands for."""

from __future__ import annotations

import ctypes
import re

import pytest

from services.shared.backends.cuda_driver import Cuda
from services.shared.errors import InferenceFailed

pytestmark = pytest.mark.gpu


def test_gpu_tells_its_name_and_compute_capability(cuda: Cuda) -> None:
    assert cuda.name
    assert re.fullmatch(r"\d+\.\d", cuda.compute_capability)


def test_bytes_go_to_the_gpu_and_come_back_in_a_graph(cuda: Cuda) -> None:
    cuda.bind()
    stream, device = cuda.create_stream(), cuda.allocate(5)
    there, back = cuda.allocate_pinned(5), cuda.allocate_pinned(5)

    def copies() -> None:
        cuda.copy_to_device(device, there, 5, stream)
        cuda.copy_from_device(back, device, 5, stream)

    graph = cuda.capture(stream, copies)
    for word in (b"hello", b"again"):
        ctypes.memmove(there, word, 5)
        cuda.launch(graph, stream)
        cuda.synchronize(stream)
        assert ctypes.string_at(back, 5) == word
    cuda.destroy_graph(graph)
    cuda.free(device)
    cuda.free_pinned(there)
    cuda.free_pinned(back)
    cuda.destroy_stream(stream)


def test_memory_that_is_not_there_is_refused(cuda: Cuda) -> None:
    cuda.bind()
    with pytest.raises(InferenceFailed, match="out of memory"):
        cuda.allocate(1 << 50)
