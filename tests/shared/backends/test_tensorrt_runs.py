"""Runs of the TensorRT backend over twins of TensorRT and of the driver; tests/gpu has the real ones."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from services.shared.backends.base import Placement
from services.shared.backends.cuda_driver import Cuda
from services.shared.backends.tensorrt import TensorRtBackend
from services.shared.errors import InferenceFailed
from tests.support import fake_tensorrt
from tests.support.fake_cuda import FakeCudaLibrary
from tests.support.tensorrt_engines import GRAPHS, TWIN, plan_config, publish, tripled


def test_engine_that_fits_runs_as_it_is(backend: TensorRtBackend, tmp_path: Path) -> None:
    path = publish(tmp_path)
    path.with_name("model.onnx").unlink()  # not needed
    model = backend.load(path, plan_config(), Placement(1))
    assert [(s.name, s.datatype, s.shape) for s in (*model.inputs, *model.outputs)] == [
        ("x", "FP32", (4,)),
        ("y", "FP32", (4,)),
    ]
    assert [tripled(model, batch) for batch in (1, 8, 3, 8)] == [True] * 4
    assert (model.warnings, model.concurrency) == ((), 2)
    model.close()


def test_outputs_stay_as_they_are_when_the_next_run_comes(backend: TensorRtBackend, tmp_path: Path) -> None:
    model = backend.load(publish(tmp_path), plan_config(more="instance_group [ { count: 1 } ]"), Placement(1))
    first = model.run({"x": np.ones((1, 4), np.float32)})["y"]
    model.run({"x": np.zeros((1, 4), np.float32)})
    np.testing.assert_array_equal(first, np.full((1, 4), 3))
    model.close()


@pytest.mark.parametrize("more", ["", GRAPHS])
def test_many_threads_get_their_own_answers(backend: TensorRtBackend, tmp_path: Path, more: str) -> None:
    model = backend.load(publish(tmp_path), plan_config(more="instance_group [ { count: 3 } ]" + more), Placement(1))
    rows = [np.full((1 + i % 8, 4), i, dtype=np.float32) for i in range(96)]
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda x: model.run({"x": x})["y"], rows))
    for x, y in zip(rows, answers, strict=True):
        np.testing.assert_array_equal(y, x * 3)
    model.close()


def test_recorded_sizes_are_repeated_and_others_are_not(
    backend: TensorRtBackend, library: FakeCudaLibrary, tmp_path: Path
) -> None:
    model = backend.load(publish(tmp_path), plan_config(more="instance_group [ { count: 1 } ]" + GRAPHS), Placement(1))
    for batch, launches in [(8, 0), (8, 1), (3, 1), (3, 1), (1, 1), (8, 2), (1, 3)]:
        assert tripled(model, batch)
        assert library.launches == launches
    model.close()


def test_engine_that_cannot_be_recorded_says_what_to_change(
    backend: TensorRtBackend, library: FakeCudaLibrary, tmp_path: Path
) -> None:
    model = backend.load(publish(tmp_path), plan_config(more=GRAPHS), Placement(1))
    library.refuses_capture = True
    with pytest.raises(InferenceFailed, match=r"batch size 8 cannot be recorded .* set cuda_graphs to false"):
        tripled(model, 8)
    assert tripled(model, 3)  # not one of the recorded sizes
    model.close()


def test_views_and_big_endian_arrays_are_read_right(backend: TensorRtBackend, tmp_path: Path) -> None:
    model = backend.load(publish(tmp_path), plan_config(), Placement(1))
    x = np.arange(16, dtype=np.float32).reshape(4, 4)
    np.testing.assert_array_equal(model.run({"x": x.T})["y"], x.T * 3)
    np.testing.assert_array_equal(model.run({"x": x.astype(">f4")})["y"], x * 3)
    model.close()


def test_run_that_breaks_is_a_failure_of_inference_and_the_next_one_is_not(
    backend: TensorRtBackend, library: FakeCudaLibrary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = backend.load(publish(tmp_path), plan_config(more="instance_group [ { count: 1 } ]"), Placement(1))
    library.error = 999
    with pytest.raises(InferenceFailed, match=r"cuStreamSynchronize failed: .* \(CUDA error 999\)"):
        tripled(model)
    with monkeypatch.context() as broken:
        broken.setattr(fake_tensorrt, "fail_execution", True)
        with pytest.raises(InferenceFailed, match="could not run the engine: an illegal memory access"):
            tripled(model)
    assert tripled(model)
    with pytest.raises(InferenceFailed, match=r"does not take the shape \[9, 4\] for its input 'x'"):
        tripled(model, 9)
    assert tripled(model)
    model.close()


def test_gpu_without_memory_for_the_model_frees_what_it_took(tmp_path: Path) -> None:
    small = FakeCudaLibrary(memory_bytes=400)  # a lane takes 2 x 8 x 4 x 4 = 256 bytes: one fits, two do not
    backend = TensorRtBackend(module=TWIN, find_gpu=lambda index: Cuda(small, index))
    with pytest.raises(InferenceFailed, match="out of memory"):
        backend.load(publish(tmp_path), plan_config(), Placement(1))
    assert set(small.live.values()) == {0}
