"""TensorRT over twins of itself and of the driver."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from services.shared.backends.cuda_driver import Cuda
from services.shared.backends.onnx_runtime import OnnxRuntimeBackend
from services.shared.backends.tensorrt import TensorRtBackend
from tests.support import fake_tensorrt
from tests.support.fake_cuda import FakeCudaLibrary
from tests.support.tensorrt_engines import TWIN


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCudaLibrary]:
    made = FakeCudaLibrary()
    monkeypatch.setattr(fake_tensorrt, "device", made)
    yield made
    assert set(made.live.values()) == {0}, "what was made on the GPU was not freed"


@pytest.fixture
def backend(library: FakeCudaLibrary, tmp_path: Path) -> TensorRtBackend:
    return TensorRtBackend(
        OnnxRuntimeBackend(),
        cache_dir=tmp_path / "kept",
        module=TWIN,
        find_gpu=lambda index: Cuda(library, index),
    )
