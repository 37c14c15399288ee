"""Loading, reloading and unloading while requests come in."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from services.shared.backends.base import Placement
from services.shared.backends.fake import FakeBackend, FakeScript
from services.shared.backends.onnx_runtime import OnnxRuntimeBackend
from services.shared.engine.base import State
from services.shared.engine.engine import Engine
from services.shared.errors import InferenceFailed, NotReady
from services.shared.model_ref import ModelRef
from services.shared.repository.memory import MemoryRepository, StoredModel
from tests.support.configs import config_text
from tests.support.engine_models import ModelDirectory
from tests.support.polling import BOUND_S, until

REF, OTHER = ModelRef("m", 2), ModelRef("other", 1)
X = np.ones((1, 4), np.float32)


class FakeEngine:
    """An engine over a fake backend with the models `m` (version 2) and `other` (version 1)."""

    def __init__(self) -> None:
        stored = {name: StoredModel(config_text(max_batch_size=2), {1: b"a", 2: b"b"}) for name in ("m", "other")}
        self.script = FakeScript()
        self.backend = FakeBackend(self.script)
        self.engine = Engine(MemoryRepository(stored), {"onnxruntime": self.backend}, placement=Placement(cores=1))

    async def ask(self, ref: ModelRef = REF) -> float:
        result = await self.engine.infer(ref, {"x": X})
        return float(result.outputs["y"][0, 0])

    async def held(self, ref: ModelRef = REF) -> asyncio.Task[float]:
        """A caller whose run stands at a shut gate; `script.gate` opens it."""
        self.script.gate = threading.Event()
        model = self.backend.models[-1]
        began = len(model.batches)
        task = asyncio.create_task(self.ask(ref))
        await until(lambda: len(model.batches) > began)
        return task


@pytest.fixture
async def fake() -> AsyncIterator[FakeEngine]:
    made = FakeEngine()
    yield made
    for gate in (made.script.gate, made.script.load_gate):
        if gate is not None:
            gate.set()
    await made.engine.close(5.0)


async def test_a_load_that_takes_long_holds_up_nobody(fake: FakeEngine) -> None:
    await fake.engine.load(OTHER)
    fake.script.load_gate = threading.Event()
    loading = asyncio.create_task(fake.engine.load(REF))
    await until(lambda: fake.engine.states().get(REF) is not None)
    assert fake.engine.states()[REF].state == State.LOADING
    assert await fake.ask(OTHER) == 1
    with pytest.raises(NotReady, match="model 'm' version 2 is loading"):
        await fake.ask()
    fake.script.load_gate.set()
    await loading
    assert await fake.ask() == 2


async def test_version_that_serves_stays_ready_while_it_is_loaded_afresh(fake: FakeEngine) -> None:
    await fake.engine.load(REF)
    fake.script.load_gate = threading.Event()
    loading = asyncio.create_task(fake.engine.load(REF))
    assert await fake.ask() == 2
    assert fake.engine.states()[REF].state == State.READY
    fake.script.load_gate.set()
    await loading
    assert len(fake.backend.models) == 2
    assert fake.backend.models[0].closed
    assert not fake.backend.models[1].closed


async def test_every_used_size_was_run_before_a_version_is_ready(fake: FakeEngine) -> None:
    await fake.engine.load(REF)
    assert {1, 2} <= set(fake.backend.models[0].batches)


async def test_what_the_old_model_was_given_is_finished_by_it(fake: FakeEngine) -> None:
    await fake.engine.load(REF)
    held = await fake.held()
    assert fake.script.gate is not None
    gate, fake.script.gate = fake.script.gate, None
    loading = asyncio.create_task(fake.engine.load(REF))
    await until(lambda: len(fake.backend.models) == 2)
    await fake.ask()  # by either: nobody notices the swap
    assert not fake.backend.models[0].closed
    gate.set()
    assert await held == 2
    await loading
    assert fake.backend.models[0].closed


async def test_unloading_finishes_what_was_accepted_and_refuses_the_rest(fake: FakeEngine) -> None:
    await fake.engine.load(REF)
    held = await fake.held()
    unloading = asyncio.create_task(fake.engine.unload(REF))
    await until(lambda: fake.engine.states()[REF].state == State.UNLOADING)
    with pytest.raises(NotReady, match="model 'm' version 2 is unloading"):
        await fake.ask()
    assert fake.script.gate is not None
    fake.script.gate.set()
    assert await held == 2
    await unloading
    assert fake.backend.models[0].closed


async def test_load_goes_on_when_its_caller_goes_away(fake: FakeEngine) -> None:
    fake.script.load_gate = threading.Event()
    loading = asyncio.create_task(fake.engine.load(REF))
    await until(lambda: REF in fake.engine.states())
    loading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await loading
    fake.script.load_gate.set()
    await until(lambda: fake.engine.states()[REF].state == State.READY)
    assert await fake.ask() == 2


async def test_model_that_fails_to_warm_is_closed(fake: FakeEngine) -> None:
    def broken(inputs: Any, version: int) -> Any:
        raise InferenceFailed("no memory")

    fake.script.compute = broken
    with pytest.raises(InferenceFailed, match="the first run of m with batch size 2 failed: no memory"):
        await fake.engine.load(REF)
    assert fake.backend.models[0].closed


async def test_changes_of_one_version_take_turns(fake: FakeEngine) -> None:
    await asyncio.gather(*(fake.engine.load(REF) for _ in range(4)), fake.engine.load(OTHER))
    assert await fake.ask() == 2
    assert [model.closed for model in fake.backend.models].count(False) == 2  # one of each


async def test_closed_engine_has_freed_everything_and_loads_nothing(fake: FakeEngine) -> None:
    await asyncio.gather(fake.engine.load(REF), fake.engine.load(OTHER))
    await fake.engine.close(5.0)
    assert [model.closed for model in fake.backend.models] == [True, True]
    assert fake.engine.states() == {}
    with pytest.raises(NotReady, match="the engine is closed"):
        await fake.engine.load(REF)


@pytest.fixture
async def real(tmp_path: Path) -> AsyncIterator[tuple[Engine, ModelDirectory]]:
    models = ModelDirectory(tmp_path / "models")
    engine = Engine(models.repository, {"onnxruntime": OnnxRuntimeBackend()}, placement=Placement(cores=2))
    yield engine, models
    await engine.close(5.0)


async def callers(engine: Engine, ref: ModelRef, right: Callable[[Any, Any], bool], stop: asyncio.Event) -> int:
    """Asks one after the other until told to stop; gives how many answers came, all of them right."""
    count = 0
    while not stop.is_set():
        x = np.full((1 + count % 3, 4), count % 97, dtype=np.float32)
        assert right(x, (await engine.infer(ref, {"x": x})).outputs["y"])
        count += 1
    return count


async def test_reloading_under_load_gives_no_error_and_no_wrong_answer(real: tuple[Engine, ModelDirectory]) -> None:
    engine, models = real
    one, two = ModelRef("m", 1), ModelRef("m", 2)
    text = config_text(batching="")
    models.add_scaled("m", 1, 1, text)
    models.add_scaled("m", 2, 2, text)
    await engine.load(one)
    await engine.load(two)
    stop = asyncio.Event()

    def doubled_or_tripled(x: Any, y: Any) -> bool:
        return bool(np.array_equal(y, x * 2) or np.array_equal(y, x * 3))

    async with asyncio.timeout(BOUND_S), asyncio.TaskGroup() as group:
        untouched = [group.create_task(callers(engine, one, np.array_equal, stop)) for _ in range(3)]
        reloaded = [group.create_task(callers(engine, two, doubled_or_tripled, stop)) for _ in range(3)]
        for turn in range(6):
            models.add_scaled("m", 2, 3 - turn % 2, text)
            await engine.load(two)
        stop.set()
    assert all(task.result() > 0 for task in (*untouched, *reloaded))


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads the memory from Linux' /proc")
def test_memory_does_not_grow_over_200_load_and_unload_cycles(tmp_path: Path) -> None:
    ModelDirectory(tmp_path).add_scaled("m", 1, 1, config_text(max_batch_size=4))
    command = [sys.executable, "-m", "tests.support.load_cycles", str(tmp_path)]
    before, after = map(int, subprocess.run(command, capture_output=True, check=True, timeout=120).stdout.split())
    assert after < before * 1.05
