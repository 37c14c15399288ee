"""A model published as a TensorRT engine, where there is no GPU: the engine of a whole process answers all the same."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from pathlib import Path

import numpy as np
import pytest

from services.shared.backends import cuda_driver
from services.shared.model_ref import ModelRef
from services.shared.wiring import LocalServing, ServingSettings
from tests.support.digit_models import copy_digits
from tests.support.polling import BOUND_S


async def test_engine_without_a_gpu_answers_through_onnx_runtime_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cuda_driver, "LIBRARY", "libcuda-that-is-not-there.so.1")
    model = copy_digits(tmp_path / "models")
    config = model / "config.pbtxt"
    config.write_text(config.read_text().replace("onnxruntime_onnx", "tensorrt_plan"))
    plan = model / "1" / "model.plan"
    plan.write_bytes(b"an engine for another GPU")
    plan.with_name("model.plan.sha256").write_text(f"{hashlib.sha256(plan.read_bytes()).hexdigest()}  model.plan\n")
    (tmp_path / "data").mkdir()
    serving = LocalServing(ServingSettings(tmp_path / "models", tmp_path / "data", 1, "test"))
    ref = ModelRef("digits", 1)
    with caplog.at_level(logging.WARNING):
        await serving.start()
        try:
            async with asyncio.timeout(BOUND_S):
                while not await serving.client.ready(ref):
                    await asyncio.sleep(0.01)
            image = np.zeros((2, 28, 28, 1), np.uint8)
            result = await serving.client.infer(ref, {"image": image}, timeout_s=10)
        finally:
            await serving.close(5)
    np.testing.assert_allclose(result.outputs["probabilities"].sum(axis=1), 1, atol=1e-5)
    (warning,) = [record.getMessage() for record in caplog.records if "digits/1" in record.getMessage()]
    assert "model.plan (this machine has no NVIDIA GPU with its driver" in warning
    assert "onnxruntime runs model.onnx instead" in warning
