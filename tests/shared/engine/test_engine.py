"""The engine with real models, from the disk through ONNX Runtime."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from services.shared.backends.base import Placement
from services.shared.backends.onnx_runtime import OnnxRuntimeBackend
from services.shared.engine.base import State, VersionState
from services.shared.engine.engine import Engine
from services.shared.errors import DeadlineExceeded, InferenceFailed, InvalidInput, NotFound, NotReady
from services.shared.model_ref import ModelRef
from services.shared.telemetry.base import FailureReason
from services.shared.tensors import NUMPY_DTYPES
from tests.support import onnx_models
from tests.support.configs import config_text
from tests.support.engine_models import ModelDirectory

ONE, TWO = ModelRef("m", 1), ModelRef("m", 2)
X = np.arange(8, dtype=np.float32).reshape(2, 4)


@pytest.fixture
def models(tmp_path: Path) -> ModelDirectory:
    return ModelDirectory(tmp_path / "models")


@pytest.fixture
async def engine(models: ModelDirectory) -> AsyncIterator[Engine]:
    made = Engine(models.repository, {"onnxruntime": OnnxRuntimeBackend()}, placement=Placement(cores=2))
    yield made
    await made.close(5.0)


async def answer(engine: Engine, ref: ModelRef, x: Any = X) -> Any:
    return (await engine.infer(ref, {"x": x})).outputs["y"]


async def test_loaded_version_answers(engine: Engine, models: ModelDirectory) -> None:
    models.add_scaled("m", 1, 1)
    models.add_scaled("m", 2, 2)
    await engine.load(ONE)
    await engine.load(TWO)
    np.testing.assert_array_equal(await answer(engine, ONE), X)
    np.testing.assert_array_equal(await answer(engine, TWO), X * 2)
    assert engine.states() == {ONE: VersionState(State.READY), TWO: VersionState(State.READY)}


@pytest.mark.parametrize("datatype", list(NUMPY_DTYPES))
async def test_every_datatype_passes_joined_and_alone(engine: Engine, models: ModelDirectory, datatype: str) -> None:
    models.add("m", 1, onnx_models.identity(datatype), config_text(datatype=datatype, batching=""))
    await engine.load(ONE)
    if datatype == "BYTES":
        xs = [np.array([[b"", b"a", "é".encode(), f"{i}".encode()]], dtype=object) for i in range(5)]
    else:
        xs = [np.array([[0, 1, i % 2, 1]]).astype(NUMPY_DTYPES[datatype]) for i in range(5)]
    for x, y in zip(xs, await asyncio.gather(*(answer(engine, ONE, x) for x in xs)), strict=True):
        assert y.dtype == x.dtype
        np.testing.assert_array_equal(y, x)


async def test_what_is_told_about_a_version(engine: Engine, models: ModelDirectory) -> None:
    text = config_text(max_batch_size=4).replace('"y"', '"y" label_filename: "labels.txt"')
    models.add_scaled("m", 1, 1, text)
    (models.root / "m" / "labels.txt").write_text("cat\ndog\nbird\nfish\n")
    await engine.load(ONE)
    version = engine.model(ONE)
    assert version.labels == {"y": ("cat", "dog", "bird", "fish")}
    assert version.batch_sizes == (1, 2, 3, 4)
    assert version.sha256 == models.repository.artifact(ONE).sha256
    assert [spec.shape for spec in (*version.inputs, *version.outputs)] == [(4,), (4,)]
    assert version.config.max_batch_size == 4
    assert version.concurrency == 2


async def test_only_the_wanted_outputs_are_given(engine: Engine, models: ModelDirectory) -> None:
    models.add("m", 1, onnx_models.added(), 'platform: "onnxruntime_onnx" max_batch_size: 4')
    await engine.load(ONE)
    inputs = {"a": np.ones((1, 2), np.float32), "b": np.ones((1, 2), np.float32)}
    assert list((await engine.infer(ONE, inputs)).outputs) == ["sum", "difference"]
    assert list((await engine.infer(ONE, inputs, outputs=["difference"])).outputs) == ["difference"]
    with pytest.raises(InvalidInput, match="unexpected inference output 'product'"):
        await engine.infer(ONE, inputs, outputs=["product"])


async def test_input_that_does_not_fit_is_refused_and_counted(engine: Engine, models: ModelDirectory) -> None:
    models.add_scaled("m", 1, 1)
    await engine.load(ONE)
    with pytest.raises(InvalidInput, match="unexpected shape for input 'x'"):
        await answer(engine, ONE, np.ones((1, 5), np.float32))
    assert engine.metrics()[ONE].failures[FailureReason.OTHER] == 1
    assert engine.statistics(ONE)[0].fail.count == 1


async def test_unknown_model_and_version_are_not_found(engine: Engine, models: ModelDirectory) -> None:
    with pytest.raises(NotFound, match=r"^Request for unknown model: 'm' is not found$"):
        await answer(engine, ONE)
    models.add_scaled("m", 1, 1)
    await engine.load(ONE)
    with pytest.raises(NotFound, match=r"^Request for unknown model: 'm' version 2 is not found$"):
        await answer(engine, TWO)


async def test_unloaded_version_is_forgotten(engine: Engine, models: ModelDirectory) -> None:
    models.add_scaled("m", 1, 1)
    await engine.load(ONE)
    await engine.unload(ONE)
    assert engine.states() == {}
    for call in (answer(engine, ONE), engine.unload(ONE)):
        with pytest.raises(NotFound):
            await call


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        ("checksum", "records 0000"),
        ("truncated", "cannot be loaded"),
        ("config", r"config.pbtxt of m: \d+:\d+"),
        ("backend", "needs the backend 'python'; this process has onnxruntime"),
        ("labels", "label file 'absent.txt'"),
        ("batch", "fixed size 1 where the batch belongs"),
        ("warmup", "model_warmup 'w': there is no file 'absent'"),
    ],
)
async def test_failed_reload_gives_its_reason_and_leaves_what_serves(
    engine: Engine, models: ModelDirectory, damage: str, reason: str
) -> None:
    models.add_scaled("m", 1, 3)
    await engine.load(ONE)
    good, model = config_text(), onnx_models.scaled(4)
    match damage:
        case "checksum":
            models.add("m", 1, model, checksum="0" * 64)
        case "truncated":
            (models.root / "m" / "1" / "model.onnx.sha256").unlink()
            (models.root / "m" / "1" / "model.onnx").write_bytes(model.SerializeToString()[:50])
        case "config":
            models.add("m", 1, model, good + "max_batch_size: many")
        case "backend":
            models.add("m", 1, model, good.replace('platform: "onnxruntime_onnx"', 'backend: "python"'))
        case "labels":
            models.add("m", 1, model, good.replace('"y"', '"y" label_filename: "absent.txt"'))
        case "batch":
            models.add("m", 1, onnx_models.scaled(4, (1, 4)))
        case "warmup":
            value = 'value { data_type: TYPE_FP32 dims: [ 4 ] input_data_file: "absent" }'
            models.add("m", 1, model, config_text(more=f'model_warmup {{ name: "w" inputs {{ key: "x" {value} }} }}'))
    if damage == "backend":
        (models.root / "m" / "1" / "model").write_bytes(b"")
    with pytest.raises(InferenceFailed, match=reason):
        await engine.load(ONE)
    assert engine.states() == {ONE: VersionState(State.READY)}
    np.testing.assert_array_equal(await answer(engine, ONE), X * 3)


async def test_failed_first_load_is_told_in_the_state(engine: Engine, models: ModelDirectory) -> None:
    models.add("m", 1, onnx_models.scaled(1), checksum="0" * 64)
    with pytest.raises(InferenceFailed):
        await engine.load(ONE)
    state = engine.states()[ONE]
    assert state.state == State.UNAVAILABLE
    assert "records 0000" in state.reason
    with pytest.raises(NotReady, match=r"model 'm' version 1 is unavailable: m/1: model.onnx has the SHA-256"):
        await answer(engine, ONE)
    models.add_scaled("m", 1, 5)
    await engine.load(ONE)
    np.testing.assert_array_equal(await answer(engine, ONE), X * 5)


async def test_version_that_is_not_in_the_repository_is_not_found(engine: Engine, models: ModelDirectory) -> None:
    with pytest.raises(NotFound, match="model 'm' is not in the repository"):
        await engine.load(ONE)


async def test_fields_that_are_not_honoured_are_named_in_one_warning(
    engine: Engine, models: ModelDirectory, caplog: pytest.LogCaptureFixture
) -> None:
    accelerator = 'optimization { execution_accelerators { cpu_execution_accelerator { name: "openvino" } } }'
    models.add_scaled("m", 1, 1, config_text(more=f"{accelerator} response_cache {{ enable: true }}"))
    with caplog.at_level(logging.WARNING, "services.shared.engine"):
        await engine.load(ONE)
    (record,) = caplog.records
    assert "response_cache" in record.getMessage()
    assert "openvino" in record.getMessage()
    assert vars(record)["model"] == "m"


async def test_slow_model_tells_a_passed_deadline_at_once(engine: Engine, models: ModelDirectory) -> None:
    models.add("m", 1, onnx_models.slow(), config_text(dims="1024", max_batch_size=32))
    await engine.load(ONE)
    x = np.ones((32, 1024), np.float32)
    with pytest.raises(DeadlineExceeded):
        await engine.infer(ONE, {"x": x}, timeout_s=0.0005)
    np.testing.assert_array_equal(await answer(engine, ONE, x), x)


async def test_statistics_and_metrics_agree(engine: Engine, models: ModelDirectory) -> None:
    models.add_scaled("m", 1, 1)
    models.add_scaled("other", 1, 1)
    await engine.load(ONE)
    await engine.load(ModelRef("other", 1))
    for _ in range(3):
        await answer(engine, ONE)
    (statistics,) = engine.statistics(ONE)
    metrics = engine.metrics()[ONE]
    assert (statistics.inference_count, statistics.execution_count, statistics.success.count) == (6, 3, 3)
    assert (metrics.inference_count, metrics.execution_count, metrics.successes, metrics.pending) == (6, 3, 3, 0)
    assert metrics.batch_size.sum == 6
    assert [s.ref.name for s in engine.statistics()] == ["m", "other"]  # warm-up runs are not counted
    assert engine.statistics()[1].execution_count == 0
