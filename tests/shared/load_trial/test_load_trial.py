"""The throw-away process with real models, and what it saves a serving process from."""

from __future__ import annotations

import asyncio
import os
import platform
from pathlib import Path

import numpy as np
import pytest

from services.shared.engine.trial_process import TrialOrder, try_version
from services.shared.errors import InferenceFailed
from services.shared.model_ref import ModelRef
from services.shared.wiring import LocalServing, ServingSettings
from tests.support import bad_candidates
from tests.support.polling import BOUND_S

STABLE, CANDIDATE = ModelRef("digits", 1), ModelRef("digits", 2)
IMAGE = np.zeros((1, 28, 28, 1), np.uint8)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return bad_candidates.repository_with_one_version(tmp_path / "models")


async def reason(model: Path) -> str:
    """What trying version 2 comes to."""
    order = TrialOrder(model.parent, model.parent.parent / "data", CANDIDATE, 60.0)
    return (await try_version(order)).reason


async def test_a_version_that_works_passes(model: Path) -> None:
    bad_candidates.add_equal(model, 2)
    assert await reason(model) == ""


async def test_a_version_that_cannot_be_loaded_fails_with_the_words_of_the_load(model: Path) -> None:
    bad_candidates.add_broken(model, 2)
    assert "model.onnx of digits cannot be loaded" in await reason(model)


async def test_a_version_that_is_not_there_fails(model: Path) -> None:
    assert await reason(model) == "model 'digits' has no version 2"


@pytest.mark.skipif(platform.machine() != "x86_64", reason="other processors do not trap the division")
async def test_a_version_that_kills_whoever_loads_it_kills_the_trial_alone(tmp_path: Path, model: Path) -> None:
    bad_candidates.add_killing(model, 2)
    settings = ServingSettings(tmp_path / "models", tmp_path / "data", 1, "test")
    serving = LocalServing(settings)
    await serving.start()
    try:
        async with asyncio.timeout(BOUND_S):
            while not await serving.client.ready(STABLE):
                await asyncio.sleep(0.01)
        with pytest.raises(InferenceFailed, match=r"digits/2: the process that tried it died \(SIG\w+\)"):
            await serving.control.load("digits", 2)
        assert not await serving.client.ready(CANDIDATE)
        answer = await serving.client.infer(STABLE, {"image": IMAGE}, timeout_s=10)
        assert answer.outputs["probabilities"].shape == (1, 10)
        bad_candidates.add_equal(model, 3)
        await serving.control.load("digits", 3)
        assert await serving.client.ready(ModelRef("digits", 3))
    finally:
        await serving.close(5)
    assert os.listdir(tmp_path / "data" / "loads" / "begun") == []
