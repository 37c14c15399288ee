"""The real TensorRT on a real GPU: the sample model built, served, and compared with ONNX Runtime."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from services.shared.backends.base import LoadedModel, Placement
from services.shared.backends.cuda_driver import Cuda
from services.shared.backends.onnx_runtime import OnnxRuntimeBackend
from services.shared.backends.tensorrt import TensorRtBackend
from services.shared.backends.tensorrt_build import (
    BuildOptions,
    build_engine,
    describe_machine,
    engine_info,
    write_engine,
)
from services.shared.backends.tensorrt_plan import batch_profile
from services.shared.config_pbtxt import parse_config
from services.shared.model_config import ModelConfig
from services.shared.tensors import Array
from tests.support.digit_models import DIGITS, copy_digits

pytestmark = pytest.mark.gpu
GRAPHS = 'parameters { key: "cuda_graphs" value { string_value: "true" } }'
TOLERANCE = 2e-3  # of probabilities: TensorRT computes float32 in TF32, which has 10 bits of mantissa


@pytest.fixture(autouse=True)
def _tensorrt(cuda: Cuda) -> None:
    if importlib.util.find_spec("tensorrt") is None:
        pytest.skip("needs the package tensorrt, whose libraries are not on the ordinary index")


def config(platform: str = "tensorrt_plan", more: str = "") -> ModelConfig:
    text = (DIGITS / "config.pbtxt").read_text().replace("onnxruntime_onnx", platform)
    return parse_config(text + more, name="digits")


@pytest.fixture
def plan(tmp_path: Path, cuda: Cuda) -> Path:
    directory = copy_digits(tmp_path) / "1"
    onnx, path, batch = directory / "model.onnx", directory / "model.plan", batch_profile(config().max_batch_size)
    cuda.bind()
    engine = build_engine(onnx, BuildOptions(batch, timing_cache=tmp_path / "timing.cache"))
    write_engine(path, engine, engine_info(describe_machine(cuda), precision="fp32", onnx=onnx, batch=batch))
    return path


@pytest.fixture
def expected() -> Iterator[LoadedModel]:
    model = OnnxRuntimeBackend().load(DIGITS / "1" / "model.onnx", config("onnxruntime_onnx"), Placement(2))
    yield model
    model.close()


def images(count: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).integers(0, 256, (count, 28, 28, 1), dtype=np.uint8)


@pytest.mark.parametrize("more", ["", GRAPHS])
def test_engine_answers_as_onnx_runtime_does(plan: Path, expected: LoadedModel, more: str) -> None:
    plan.with_name("model.onnx").unlink()  # nothing to fall back to
    model = TensorRtBackend().load(plan, config(more=more), Placement(2))
    assert model.warnings == ()
    batches = [images(count, seed) for seed, count in enumerate((1, 64, 3, 1, 64, 17, 64) * 4)]
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda image: model.run({"image": image})["probabilities"], batches))
    for batch, answer in zip(batches, answers, strict=True):
        np.testing.assert_allclose(answer, expected.run({"image": batch})["probabilities"], atol=TOLERANCE)
    model.close()


def test_damaged_engine_is_rebuilt(plan: Path, expected: LoadedModel, tmp_path: Path) -> None:
    plan.write_bytes(b"this is no engine" * 100)
    model = TensorRtBackend(cache_dir=tmp_path / "kept").load(plan, config(), Placement(2))
    assert "rebuilt from model.onnx" in model.warnings[0]
    batch = images(5)
    answer = model.run({"image": batch})["probabilities"]
    np.testing.assert_allclose(answer, expected.run({"image": batch})["probabilities"], atol=TOLERANCE)
    model.close()
