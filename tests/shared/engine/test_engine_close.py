"""Closing an engine while others still load and unload."""

from __future__ import annotations

import asyncio
import threading

import pytest

from services.shared.backends.base import Placement
from services.shared.backends.fake import FakeBackend, FakeScript
from services.shared.engine.base import State
from services.shared.engine.engine import Engine
from services.shared.errors import NotReady
from services.shared.model_ref import ModelRef
from services.shared.repository.memory import MemoryRepository, StoredModel
from tests.support.configs import config_text
from tests.support.polling import until

ONE, TWO = ModelRef("m", 1), ModelRef("m", 2)


class Gate(threading.Event):
    """Knows whether somebody stands at it."""

    reached = False

    def wait(self, timeout: float | None = None) -> bool:
        self.reached = True
        return super().wait(timeout)


@pytest.fixture
def script() -> FakeScript:
    return FakeScript()


@pytest.fixture
def backend(script: FakeScript) -> FakeBackend:
    return FakeBackend(script)


@pytest.fixture
def engine(backend: FakeBackend) -> Engine:
    stored = {"m": StoredModel(config_text(max_batch_size=2), {1: b"a", 2: b"b"})}
    return Engine(MemoryRepository(stored), {"onnxruntime": backend}, placement=Placement(cores=1))


@pytest.mark.parametrize("again", [False, True])
async def test_a_model_that_is_loaded_while_the_engine_closes_is_closed_too(
    engine: Engine, backend: FakeBackend, script: FakeScript, again: bool
) -> None:
    if again:
        await engine.load(ONE)
    gate = script.load_gate = Gate()
    loading = asyncio.create_task(engine.load(ONE))
    await until(lambda: gate.reached)
    closing = asyncio.create_task(engine.close(5.0))
    await asyncio.sleep(0)
    gate.set()
    with pytest.raises(NotReady, match="the engine is closed"):
        await loading
    await closing
    assert len(backend.models) == 1 + again
    assert all(model.closed for model in backend.models)
    assert all(state.state is not State.READY for state in engine.states().values())


async def test_an_unload_and_the_closing_that_come_together_both_succeed(engine: Engine, backend: FakeBackend) -> None:
    await engine.load(ONE)
    await engine.load(TWO)
    unloading = asyncio.create_task(engine.unload(ONE))
    await engine.close(5.0)
    await unloading
    assert all(model.closed for model in backend.models)
    assert not engine.states()


async def test_nothing_is_loaded_after_the_closing_and_closing_again_is_nothing(
    engine: Engine, backend: FakeBackend
) -> None:
    await engine.close(1.0)
    with pytest.raises(NotReady, match="the engine is closed"):
        await engine.load(ONE)
    await engine.close(1.0)
    assert not backend.models
