"""What the TensorRT backend does with an engine, over twins of TensorRT and of the driver."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.shared.backends.base import Placement
from services.shared.backends.cuda_driver import Cuda
from services.shared.backends.onnx_runtime import OnnxRuntimeBackend
from services.shared.backends.tensorrt import TensorRtBackend
from services.shared.errors import InferenceFailed
from tests.support import fake_tensorrt, onnx_models
from tests.support.configs import config_text
from tests.support.fake_cuda import FakeCudaLibrary
from tests.support.tensorrt_engines import TWIN, plan_config, publish, tripled


@pytest.mark.parametrize(
    ("version", "capability", "reason"),
    [
        ("11.3.0.99", "9.0", "built by tests.support.fake_tensorrt 11.3.0.99"),
        ("11.4.0.106", "8.6", "compute capability 8.6"),
    ],
)
def test_engine_for_another_machine_is_rebuilt_once_for_all_processes(
    backend: TensorRtBackend,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    version: str,
    capability: str,
    reason: str,
) -> None:
    path = publish(tmp_path, version=version, compute_capability=capability)
    before = path.read_bytes()
    first = backend.load(path, plan_config(), Placement(1))
    assert tripled(first)
    monkeypatch.setattr(fake_tensorrt, "Builder", None)  # what was built is found again
    second = backend.load(path, plan_config(), Placement(1))
    assert tripled(second, 8)
    for model in (first, second):
        (warning,) = model.warnings
        assert warning.startswith("model.plan (it was ")
        assert reason in warning
        assert warning.endswith("it was rebuilt from model.onnx)")
        model.close()
    assert path.read_bytes() == before  # the repository is not written
    assert (tmp_path / "kept" / "timing.cache").read_bytes() == b"measured"


@pytest.mark.parametrize("cached", [True, False])
def test_engine_that_tensorrt_cannot_read_is_rebuilt(library: FakeCudaLibrary, tmp_path: Path, cached: bool) -> None:
    backend = TensorRtBackend(
        cache_dir=tmp_path / "kept" if cached else None, module=TWIN, find_gpu=lambda index: Cuda(library, index)
    )
    path = onnx_models.write(onnx_models.scaled(3), tmp_path / "m" / "1" / "model.onnx").with_name("model.plan")
    path.write_bytes(b"made by something else")
    model = backend.load(path, plan_config(), Placement(1))
    assert tripled(model)
    assert model.warnings == (
        "model.plan (TensorRT 11.4.0.106 cannot read it: magic tag does not match: it was rebuilt from model.onnx)",
    )
    model.close()


def test_engine_without_a_record_that_takes_too_small_batches_is_rebuilt(
    backend: TensorRtBackend, tmp_path: Path
) -> None:
    path = publish(tmp_path, largest=4)
    path.with_name("model.plan.json").unlink()
    model = backend.load(path, plan_config(), Placement(1))
    assert tripled(model, 8)
    assert "it takes batches up to 4, and max_batch_size is 8" in model.warnings[0]
    model.close()


def test_rebuild_that_fails_falls_back(
    backend: TensorRtBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = publish(tmp_path, version="11.3.0.99")
    monkeypatch.setattr(fake_tensorrt.Builder, "build_serialized_network", lambda *_: None)
    model = backend.load(path, plan_config(), Placement(1))
    assert tripled(model)
    (warning,) = model.warnings
    assert "11.3.0.99" in warning
    assert "TensorRT cannot build model.onnx: it gives no reason: onnxruntime runs model.onnx instead" in warning
    model.close()


NO_GPU = FakeCudaLibrary(gpus=0)


@pytest.mark.parametrize("more", ["", "instance_group [ { kind: KIND_GPU count: 1 gpus: [ 0 ] } ]"])
def test_machine_without_a_gpu_answers_by_the_fallback_and_says_so(tmp_path: Path, more: str) -> None:
    backend = TensorRtBackend(OnnxRuntimeBackend(), module=TWIN, find_gpu=lambda index: Cuda(NO_GPU, index))
    model = backend.load(publish(tmp_path), plan_config(more=more), Placement(1))
    assert tripled(model)
    assert len(model.warnings) == 1
    assert "no CUDA-capable device is detected" in model.warnings[0]
    assert model.warnings[0].endswith("onnxruntime runs model.onnx instead)")
    model.close()


def test_model_that_asks_for_the_cpu_gets_it(backend: TensorRtBackend, tmp_path: Path) -> None:
    config = plan_config(more="instance_group [ { kind: KIND_CPU } ]")
    model = backend.load(publish(tmp_path), config, Placement(1))
    assert "KIND_CPU" in model.warnings[0]
    model.close()


def test_machine_without_tensorrt_is_one_sentence(library: FakeCudaLibrary, tmp_path: Path) -> None:
    backend = TensorRtBackend(module="tensorrt_that_is_not_there", find_gpu=lambda index: Cuda(library, index))
    with pytest.raises(InferenceFailed, match=r"model.plan of m cannot run here: TensorRT is not installed on this ma"):
        backend.load(publish(tmp_path), plan_config(), Placement(1))


def test_without_an_onnx_file_there_is_nothing_to_fall_back_to(tmp_path: Path) -> None:
    backend = TensorRtBackend(OnnxRuntimeBackend(), module=TWIN, find_gpu=lambda index: Cuda(NO_GPU, index))
    path = publish(tmp_path)
    path.with_name("model.onnx").unlink()
    with pytest.raises(InferenceFailed, match=r"cannot run here: .* there is no model.onnx beside it"):
        backend.load(path, plan_config(), Placement(1))


def test_onnx_file_that_was_exchanged_does_not_stand_in(backend: TensorRtBackend, tmp_path: Path) -> None:
    path = publish(tmp_path, version="11.3.0.99")
    onnx_models.write(onnx_models.scaled(5), path.with_name("model.onnx"))
    with pytest.raises(InferenceFailed, match=r"11.3.0.99.*is not the file that it was built from"):
        backend.load(path, plan_config(), Placement(1))


def test_config_that_does_not_fit_the_engine_is_refused(backend: TensorRtBackend, tmp_path: Path) -> None:
    with pytest.raises(InferenceFailed, match=r"input 'x' has dims \[5\], but \[4\] in the file"):
        backend.load(publish(tmp_path), plan_config(config_text(dims="5")), Placement(1))
