"""A large batch as parts side by side: one request to whoever asks, and to whoever counts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from services.shared.backends.fake import FakeScript
from services.shared.clock import SystemClock
from services.shared.engine.base import InferResult
from services.shared.engine.in_parts import in_parts
from services.shared.engine.recorder import Recorder
from services.shared.errors import InferenceFailed
from services.shared.model_ref import ModelRef
from services.shared.telemetry.base import FailureReason
from services.shared.tensors import Tensors
from tests.support.batcher_bench import BatcherBench

Bench = Callable[..., BatcherBench]


class Parts:
    """Doubles every row; a part whose first number is `held` waits, one whose first is `broken` fails."""

    def __init__(self, *, held: tuple[int, ...] = (), broken: int = -1) -> None:
        self.held, self.broken = held, broken
        self.sizes: list[int] = []
        self.cancelled: list[int] = []

    async def submit(self, inputs: Tensors, batch: int) -> InferResult:
        first = int(inputs["x"][0])
        assert len(inputs["x"]) == batch
        self.sizes.append(batch)
        try:
            await (asyncio.Event().wait() if first in self.held else asyncio.sleep(0))
        except asyncio.CancelledError:
            self.cancelled.append(first)
            raise
        if first == self.broken:
            raise InferenceFailed("broken")
        return InferResult({"y": inputs["x"] * 2}, queue_s=first / 10, infer_s=1.0 - first / 100)


@pytest.fixture
def recorder() -> Recorder:
    return Recorder(ModelRef("m", 1), SystemClock())


async def ask(parts: Parts, recorder: Recorder, batch: int, size: int) -> InferResult:
    inputs = {"x": np.arange(batch)}
    return await in_parts(parts.submit, inputs, batch, size, recorder=recorder, clock=SystemClock())


@pytest.mark.parametrize(
    ("batch", "size", "sizes"), [(16, 4, [4, 4, 4, 4]), (7, 3, [3, 3, 1]), (3, 1, [1, 1, 1]), (5, 4, [4, 1])]
)
async def test_outputs_are_in_the_order_of_the_rows(
    recorder: Recorder, batch: int, size: int, sizes: list[int]
) -> None:
    parts = Parts()
    result = await ask(parts, recorder, batch, size)
    assert result.outputs["y"].tolist() == [2 * i for i in range(batch)]
    assert parts.sizes == sizes
    assert (result.queue_s, result.infer_s) == ((batch - sizes[-1]) / 10, 1.0)
    assert (recorder.statistics().success.count, recorder.statistics().fail.count) == (1, 0)


async def test_when_one_part_fails_the_others_are_given_up(recorder: Recorder) -> None:
    parts = Parts(held=(0, 4), broken=2)
    with pytest.raises(InferenceFailed, match="broken"):
        await ask(parts, recorder, 6, 2)
    await asyncio.sleep(0)
    assert parts.cancelled == [0, 4]
    assert recorder.metrics(0).failures == {"REJECTED": 0, "CANCELED": 0, "BACKEND": 1, "OTHER": 0}


async def test_a_caller_that_leaves_takes_every_part_along(recorder: Recorder) -> None:
    parts = Parts(held=(0, 2))
    task = asyncio.create_task(ask(parts, recorder, 4, 2))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert parts.cancelled == [0, 2]
    assert recorder.metrics(0).failures[FailureReason.CANCELED] == 1
    assert recorder.statistics().fail.count == 1


async def test_parts_in_a_batcher_are_counted_as_the_one_request_they_are(bench: Bench) -> None:
    made = bench()
    inputs = {"x": np.arange(32, dtype=np.float32).reshape(16, 2)}
    submit = partial(made.batcher.submit, part=True)
    result = await in_parts(submit, inputs, 16, 4, recorder=made.recorder, clock=SystemClock())
    np.testing.assert_array_equal(result.outputs["y"], inputs["x"] * 3)
    statistics, metrics = made.recorder.statistics(), made.recorder.metrics(0)
    assert (statistics.success.count, statistics.fail.count, statistics.inference_count) == (1, 0, 16)
    assert {stage: h.count for stage, h in metrics.durations.items()} == dict.fromkeys(metrics.durations, 1)
    assert [statistics.queue.count, statistics.compute_infer.count, statistics.compute_output.count] == [1, 1, 1]


async def test_a_failed_request_of_many_parts_is_one_failure(bench: Bench) -> None:
    def compute(inputs: Tensors, version: int) -> Tensors:
        raise InferenceFailed("broken")

    made = bench(script=FakeScript(compute=compute))
    inputs = {"x": np.ones((16, 2), np.float32)}
    submit = partial(made.batcher.submit, part=True)
    with pytest.raises(InferenceFailed, match="broken"):
        await in_parts(submit, inputs, 16, 4, recorder=made.recorder, clock=SystemClock())
    assert await made.batcher.close(5.0)
    assert (made.recorder.statistics().success.count, made.recorder.statistics().fail.count) == (0, 1)


@pytest.mark.parametrize(
    ("batching", "dims", "is_inline", "splits"),
    [
        ("", "2", True, True),
        ("", "2", False, False),
        ("", "-1", True, False),  # the outputs of two parts could differ in shape
        ("default_queue_policy { max_queue_size: 3 }", "2", True, False),  # its places count requests
    ],
)
async def test_only_what_gains_is_split(bench: Bench, batching: str, dims: str, is_inline: bool, splits: bool) -> None:
    made = bench(batching, dims=dims)
    made.model.inline = is_inline
    made.batcher._rules = replace(made.batcher._rules, max_size=4)
    assert (made.batcher.part_size == 4) is splits
    assert splits or made.batcher.part_size > 10**6


async def test_what_is_over_within_a_turn_of_the_loop_is_not_split(bench: Bench) -> None:
    made = bench(inline=True)
    made.batcher._rules = replace(made.batcher._rules, max_size=4)
    assert made.batcher.part_size == made.batcher.brief_size == 8
