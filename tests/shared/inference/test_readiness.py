"""When a process may get traffic."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from services.shared.clock import ManualClock
from services.shared.config_pbtxt import parse_config
from services.shared.errors import InferenceFailed, NotReady, Overloaded
from services.shared.inference.fake import FakeInference
from services.shared.inference.readiness import RECENT_S, Readiness, probe_inputs
from services.shared.model_ref import ModelRef
from services.shared.priority import Priority
from tests.support.fake_models import classifier, image
from tests.support.polling import until

CATS, DOGS = ModelRef("cats", 1), ModelRef("dogs", 1)


class Bench:
    """Two models, both the default of their names."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.fake = FakeInference([classifier("cats"), classifier("dogs")], clock=self.clock)
        self.defaults = {"cats": CATS, "dogs": DOGS}
        self.readiness = Readiness(self.fake, lambda: self.defaults, clock=self.clock)

    async def reasons(self) -> tuple[str, ...]:
        return await self.readiness.reasons()

    def probed(self) -> list[ModelRef]:
        """The models asked since the last look, in the order of their names."""
        refs = sorted(call.ref for call in self.fake.calls)
        self.fake.calls.clear()
        return refs


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.mark.parametrize(
    ("text", "name", "shape", "dtype"),
    [
        ("max_batch_size: 8 input { name: 'x' data_type: TYPE_UINT8 dims: [ 2, 3 ] }", "x", (1, 2, 3), np.uint8),
        ("input { name: 'x' data_type: TYPE_FP16 dims: [ 2, 3 ] }", "x", (2, 3), np.float16),
        (
            "max_batch_size: 1 input { name: 'y' data_type: TYPE_FP32 dims: [ -1, 3, -1 ] }",
            "y",
            (1, 1, 3, 1),
            np.float32,
        ),
        ("max_batch_size: 2 input { name: 'x' data_type: TYPE_STRING dims: [ 2 ] }", "x", (1, 2), object),
    ],
)
def test_a_probe_is_the_smallest_input_that_a_model_takes(
    text: str, name: str, shape: tuple[int, ...], dtype: type
) -> None:
    probe = probe_inputs(parse_config('backend: "fake" ' + text, name="m"))
    assert list(probe) == [name]
    assert probe[name].shape == shape
    assert probe[name].dtype == np.dtype(dtype)
    assert set(probe[name].ravel().tolist()) <= {0, b""}


async def test_ready_means_that_every_default_model_answered(bench: Bench) -> None:
    assert await bench.reasons() == ()
    assert all(call.priority is Priority.HIGH for call in bench.fake.calls)
    assert all(call.timeout_s is not None for call in bench.fake.calls)
    assert bench.probed() == [CATS, DOGS]


async def test_without_any_default_it_is_not_ready(bench: Bench) -> None:
    bench.defaults.clear()
    assert await bench.reasons() == ("no model has a default version yet",)


async def test_every_model_that_does_not_answer_is_told_with_its_reason(bench: Bench) -> None:
    await bench.fake.unload("cats")
    bench.fake.script(DOGS).failures.append(InferenceFailed("the device is gone"))
    assert await bench.reasons() == ("cats/1: cats/1 is not loaded", "dogs/1: the device is gone")
    await bench.fake.load("cats")
    assert await bench.reasons() == ()


async def test_only_what_has_not_answered_yet_is_asked_again(bench: Bench) -> None:
    bench.fake.script(DOGS).failures.append(NotReady("loading"))
    assert await bench.reasons() == ("dogs/1: loading",)
    bench.probed()
    assert await bench.reasons() == ()
    assert bench.probed() == [DOGS]


async def test_while_answers_come_nothing_is_probed(bench: Bench) -> None:
    assert await bench.reasons() == ()
    bench.probed()
    for _ in range(5):
        bench.clock.advance(RECENT_S - 0.1)
        await bench.fake.infer(DOGS, image(1))
    bench.probed()
    assert await bench.reasons() == ()
    assert bench.probed() == []


@pytest.mark.parametrize(("quiet_s", "probes"), [(RECENT_S - 0.1, []), (RECENT_S + 0.1, [CATS])])
async def test_after_a_quiet_time_one_proven_model_is_asked(
    bench: Bench, quiet_s: float, probes: list[ModelRef]
) -> None:
    await bench.reasons()
    bench.probed()
    bench.clock.advance(quiet_s)
    assert await bench.reasons() == ()
    assert bench.probed() == probes


async def test_a_device_that_no_longer_answers_makes_it_unready(bench: Bench) -> None:
    await bench.reasons()
    bench.clock.advance(RECENT_S + 1)
    bench.fake.script(CATS).failures.extend([InferenceFailed("the device is gone")] * 2)
    for _ in range(2):
        assert await bench.reasons() == ("cats/1: the device is gone",)
    assert await bench.reasons() == ()


async def test_a_new_default_must_prove_itself_although_others_answer(bench: Bench) -> None:
    await bench.reasons()
    bench.probed()
    bench.defaults["cats"] = ModelRef("cats", 2)
    assert await bench.reasons() == ("cats/2: cats/2 is not loaded",)
    await bench.fake.load("cats", 2)
    assert await bench.reasons() == ()
    assert bench.probed() == [ModelRef("cats", 2)] * 1


async def test_a_server_that_gives_no_statistics_is_probed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    await bench.reasons()
    bench.probed()

    async def statistics(ref: ModelRef | None = None) -> tuple[()]:
        raise Overloaded("not now")

    monkeypatch.setattr(bench.fake, "statistics", statistics)
    assert await bench.reasons() == ()
    assert bench.probed() == [CATS]


async def test_a_process_that_drains_is_not_ready_whatever_answers(bench: Bench) -> None:
    assert await bench.reasons() == ()
    bench.readiness.drain()
    assert await bench.reasons() == ("the process is draining",)
    bench.probed()
    assert await bench.reasons() == ("the process is draining",)
    assert bench.probed() == []


async def test_probes_that_come_together_share_one_inference(bench: Bench) -> None:
    gate = bench.fake.script(CATS).gate = asyncio.Event()
    asked = [asyncio.create_task(bench.reasons()) for _ in range(10)]
    await until(lambda: len(bench.fake.calls) == 2)
    gate.set()
    assert await asyncio.gather(*asked) == [()] * 10
    assert bench.probed() == [CATS, DOGS]


async def test_two_names_for_one_version_are_one_question(bench: Bench) -> None:
    bench.defaults["kittens"] = CATS
    assert await bench.reasons() == ()
    assert bench.probed() == [CATS, DOGS]


async def test_a_probe_that_is_cancelled_leaves_the_next_one_free(bench: Bench) -> None:
    bench.fake.script(CATS).gate = asyncio.Event()
    asked = asyncio.create_task(bench.reasons())
    await until(lambda: len(bench.fake.calls) == 2)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    bench.fake.script(CATS).gate = None
    assert await bench.reasons() == ()
