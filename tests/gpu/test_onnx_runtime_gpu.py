"""The real CUDA provider of ONNX Runtime on a real GPU: the sample model, compared with the CPU."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from services.shared.backends.base import LoadedModel, Placement
from services.shared.backends.cuda_driver import Cuda
from services.shared.backends.laned_model import LanedModel
from services.shared.backends.onnx_runtime import OnnxRuntimeBackend
from services.shared.config_pbtxt import parse_config
from services.shared.model_config import ModelConfig
from services.shared.tensors import Array
from tests.support.digit_models import DIGITS

pytestmark = pytest.mark.gpu
GPU = "instance_group [ { kind: KIND_GPU count: 2 } ]"
GRAPHS = 'parameters { key: "cuda_graphs" value { string_value: "true" } }'
TOLERANCE = 2e-3  # of probabilities: convolutions on CUDA use TF32, which has 10 bits of mantissa


@pytest.fixture(autouse=True)
def _cuda_provider(cuda: Cuda) -> None:
    if importlib.util.find_spec("onnxruntime") is None:
        pytest.skip("needs onnxruntime-gpu")
    import onnxruntime

    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        pytest.skip("needs onnxruntime-gpu: this onnxruntime is built for the CPU")


def config(more: str) -> ModelConfig:
    return parse_config((DIGITS / "config.pbtxt").read_text() + more, name="digits")


def load(more: str) -> LoadedModel:
    return OnnxRuntimeBackend().load(DIGITS / "1" / "model.onnx", config(more), Placement(2))


@pytest.fixture
def expected() -> Iterator[LoadedModel]:
    model = load("instance_group [ { kind: KIND_CPU } ]")
    yield model
    model.close()


def images(count: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).integers(0, 256, (count, 28, 28, 1), dtype=np.uint8)


@pytest.mark.parametrize("more", [GPU, GPU + GRAPHS], ids=["bound buffers", "recorded graphs"])
def test_gpu_answers_as_the_cpu_does(expected: LoadedModel, more: str) -> None:
    model = load(more)
    assert isinstance(model, LanedModel)
    assert (model.concurrency, model.warnings) == (2, ())
    batches = [images(count, seed) for seed, count in enumerate((1, 64, 3, 1, 64, 17, 64) * 4)]
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda image: model.run({"image": image})["probabilities"], batches))
    for batch, answer in zip(batches, answers, strict=True):
        np.testing.assert_allclose(answer, expected.run({"image": batch})["probabilities"], atol=TOLERANCE)
    model.close()


def test_recorded_graph_reads_new_inputs_each_time(expected: LoadedModel) -> None:
    model = load(GPU + GRAPHS)
    for seed in range(8):
        image = images(1, seed)
        made = model.run({"image": image})["probabilities"]
        np.testing.assert_allclose(made, expected.run({"image": image})["probabilities"], atol=TOLERANCE)
    model.close()
