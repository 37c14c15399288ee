from __future__ import annotations

import asyncio

import pytest

from services.shared.clock import ManualClock
from services.shared.errors import InferenceFailed, NotReady, Overloaded
from services.shared.inference.fake import FakeInference
from services.shared.model_ref import ModelRef
from services.shared.priority import Priority
from tests.support.fake_models import classifier, image

REF = ModelRef("pets", 1)


@pytest.fixture
def fake() -> FakeInference:
    return FakeInference([classifier()], clock=ManualClock(1000.0))


async def test_scripted_failures_come_once_each_in_order(fake: FakeInference) -> None:
    fake.script(REF).failures += [Overloaded("full"), InferenceFailed("broken")]
    with pytest.raises(Overloaded):
        await fake.infer(REF, image(1))
    with pytest.raises(InferenceFailed):
        await fake.infer(REF, image(1))
    await fake.infer(REF, image(1))
    (statistics,) = await fake.statistics(REF)
    assert (statistics.fail.count, statistics.success.count) == (2, 1)
    assert statistics.last_inference_ms == 1_000_000


async def test_calls_are_kept_as_they_came(fake: FakeInference) -> None:
    await fake.infer(REF, image(1), timeout_s=3.0, priority=Priority.LOW, outputs=["mean"])
    (call,) = fake.calls
    assert (call.ref, call.timeout_s, call.priority, call.outputs) == (REF, 3.0, Priority.LOW, ("mean",))


async def test_a_cancelled_call_is_noted(fake: FakeInference) -> None:
    fake.script(REF).gate = asyncio.Event()
    request = asyncio.create_task(fake.infer(REF, image(1)))
    await asyncio.sleep(0)
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    assert fake.cancelled == fake.calls


async def test_a_scripted_load_failure_leaves_what_serves(fake: FakeInference) -> None:
    fake.script(REF).load_failure = InferenceFailed("no memory")
    with pytest.raises(InferenceFailed):
        await fake.load("pets", 1)
    assert await fake.ready(REF)


async def test_a_closed_client_is_not_ready(fake: FakeInference) -> None:
    await fake.close()
    assert not await fake.ready()
    with pytest.raises(NotReady):
        await fake.infer(REF, image(1))
