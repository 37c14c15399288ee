"""What every backend promises of the models that it loads."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from services.shared.backends.base import Backend, LoadedModel, Placement
from services.shared.backends.fake import FakeBackend
from services.shared.backends.onnx_runtime import OnnxRuntimeBackend
from services.shared.config_pbtxt import parse_config
from tests.support import onnx_models
from tests.support.configs import config_text

BACKENDS: list[Backend] = [FakeBackend(), OnnxRuntimeBackend()]


@pytest.fixture(params=BACKENDS, ids=lambda backend: backend.name)
def backend(request: pytest.FixtureRequest) -> Backend:
    made: Backend = request.param
    return made


@pytest.fixture
def model(backend: Backend, tmp_path: Path) -> Iterator[LoadedModel]:
    """Version 3 of a model whose output is its input times the version."""
    path = onnx_models.write(onnx_models.scaled(3), tmp_path / "m" / "3" / "model.onnx")
    loaded = backend.load(path, parse_config(config_text(max_batch_size=8), name="m"), Placement(cores=2))
    yield loaded
    loaded.close()


def test_specs_are_without_the_batch_dimension(model: LoadedModel) -> None:
    assert [(spec.name, spec.datatype, spec.shape) for spec in model.inputs] == [("x", "FP32", (4,))]
    assert [(spec.name, spec.datatype, spec.shape) for spec in model.outputs] == [("y", "FP32", (4,))]


@pytest.mark.parametrize("batch", [1, 2, 7, 8])
def test_every_batch_size_up_to_the_largest_runs(model: LoadedModel, batch: int) -> None:
    x = np.arange(batch * 4, dtype=np.float32).reshape(batch, 4)
    np.testing.assert_array_equal(model.run({"x": x})["y"], x * 3)


def test_runs_may_overlap_as_often_as_the_concurrency_says(model: LoadedModel) -> None:
    assert model.concurrency == 2
    rows = [np.full((1, 4), i, dtype=np.float32) for i in range(64)]
    with ThreadPoolExecutor(model.concurrency) as threads:
        answers = list(threads.map(lambda x: model.run({"x": x})["y"], rows))
    for x, y in zip(rows, answers, strict=True):
        np.testing.assert_array_equal(y, x * 3)


def test_accelerators_that_are_not_there_are_named(backend: Backend, tmp_path: Path) -> None:
    path = onnx_models.write(onnx_models.scaled(1), tmp_path / "m" / "1" / "model.onnx")
    more = 'optimization { execution_accelerators { gpu_execution_accelerator { name: "tensorrt" } } }'
    loaded = backend.load(path, parse_config(config_text(more=more), name="m"), Placement(cores=1))
    assert ["tensorrt" in warning for warning in loaded.warnings] == [True]
    loaded.close()
