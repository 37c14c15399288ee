"""Engines built for real, by TensorRT for RTX, whose parser and builder need no GPU."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest

from services.shared.backends.cuda_driver import Cuda
from services.shared.backends.tensorrt_build import (
    BuildOptions,
    build_engine,
    describe_machine,
    engine_info,
    info_path,
    read_info,
    sha256_of,
    write_engine,
)
from services.shared.backends.tensorrt_module import import_tensorrt
from services.shared.backends.tensorrt_plan import BatchProfile, Machine
from services.shared.errors import InferenceFailed
from tests.support import fake_tensorrt, onnx_models
from tests.support.digit_models import DIGITS
from tests.support.fake_cuda import FakeCudaLibrary
from tests.support.tensorrt_wheels import RTX, need

BATCH = BatchProfile(1, 8, 64)
build = functools.partial(build_engine, module=RTX)


@pytest.fixture(autouse=True)
def _rtx() -> None:
    need(RTX)


def test_sample_model_becomes_an_engine() -> None:
    engine = build(DIGITS / "1" / "model.onnx", BuildOptions(BATCH))
    assert len(engine) > 240_000  # its weights alone


def test_network_without_a_batch_becomes_an_engine(tmp_path: Path) -> None:
    path = onnx_models.write(onnx_models.scaled(3, shape=(4,)), tmp_path / "model.onnx")
    assert build(path, BuildOptions(None, workspace_bytes=1 << 20, optimization_level=0))


def test_file_that_is_no_onnx_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"\xff" * 64)
    with pytest.raises(
        InferenceFailed, match=r"^TensorRT cannot read model.onnx: [^\n]*Failed to parse the ONNX model"
    ):
        build(path, BuildOptions(BATCH))


def test_operator_that_tensorrt_does_not_know_is_named(tmp_path: Path) -> None:
    path = onnx_models.write(onnx_models.dynamically_quantized(), tmp_path / "model.onnx")
    with pytest.raises(InferenceFailed, match=r"cannot read model.onnx: DynamicQuantizeLinear: UNSUPPORTED_NODE$"):
        build(path, BuildOptions(BATCH))


def test_input_without_a_dynamic_batch_is_refused(tmp_path: Path) -> None:
    path = onnx_models.write(onnx_models.scaled(3, shape=(1, 4)), tmp_path / "model.onnx")
    with pytest.raises(InferenceFailed, match=r"input 'x' has the shape .* export it with a dynamic first dimension"):
        build(path, BuildOptions(BATCH))


def test_tensorrt_that_is_not_installed_is_one_sentence() -> None:
    with pytest.raises(InferenceFailed, match="TensorRT is not installed on this machine"):
        build_engine(Path("model.onnx"), BuildOptions(BATCH), module="tensorrt_that_is_not_there")


def test_builder_that_finds_no_gpu_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_driver(logger: object) -> None:
        raise TypeError("factory function returned nullptr")

    monkeypatch.setattr(import_tensorrt(RTX).api, "Builder", no_driver)
    with pytest.raises(InferenceFailed, match="TensorRT cannot build here: it needs an NVIDIA GPU"):
        build(Path("model.onnx"), BuildOptions(BATCH))


@pytest.mark.parametrize("before", [None, b"measured", b"by another version"])
def test_what_a_build_measured_is_kept_for_the_next(tmp_path: Path, before: bytes | None) -> None:
    cache = tmp_path / "kept" / "timing.cache"
    if before is not None:
        cache.parent.mkdir()
        cache.write_bytes(before)
    path = onnx_models.write(onnx_models.scaled(3), tmp_path / "model.onnx")
    build_engine(path, BuildOptions(BATCH, timing_cache=cache), module=fake_tensorrt.__name__)
    assert cache.read_bytes() == b"measured"


def test_rtx_takes_the_calls_of_a_timing_cache(tmp_path: Path) -> None:
    with pytest.warns(DeprecationWarning, match="Timing cache operations are no-ops in TensorRT-RTX"):
        build(DIGITS / "1" / "model.onnx", BuildOptions(BATCH, timing_cache=tmp_path / "timing.cache"))


def test_record_beside_an_engine_says_how_it_was_made(tmp_path: Path) -> None:
    onnx = onnx_models.write(onnx_models.scaled(3), tmp_path / "model.onnx")
    machine = describe_machine(Cuda(FakeCudaLibrary(capability=(8, 9)), 0), fake_tensorrt.__name__)
    assert machine == Machine(fake_tensorrt.__name__, "11.4.0.106", "8.9", "NVIDIA Test GPU")
    info = engine_info(machine, precision="int8", onnx=onnx, batch=BATCH)
    assert (info.precision, info.onnx_sha256, info.batch) == ("int8", sha256_of(onnx), BATCH)
    path = tmp_path / "model.plan"
    write_engine(path, b"engine", info)
    assert (path.read_bytes(), info_path(path).name, read_info(path)) == (b"engine", "model.plan.json", info)


def test_engine_without_a_record_has_none(tmp_path: Path) -> None:
    assert read_info(tmp_path / "model.plan") is None


def test_record_that_is_no_text_is_refused(tmp_path: Path) -> None:
    info_path(tmp_path / "model.plan").write_bytes(b"\xff\xfe")
    with pytest.raises(InferenceFailed, match=r"model\.plan\.json cannot be read"):
        read_info(tmp_path / "model.plan")
