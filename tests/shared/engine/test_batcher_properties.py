"""Whatever callers do at once, each gets exactly its own answer or its own error, and nothing hangs."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from services.shared.backends.fake import FakeScript
from services.shared.engine.base import InferResult
from services.shared.errors import DeadlineExceeded, InferenceFailed, Overloaded
from services.shared.priority import Priority
from services.shared.tensors import Tensors
from tests.support.batcher_bench import BatcherBench, right

BOUND_S = 30.0
MAX_QUEUE = 6


@dataclass(frozen=True, slots=True)
class Caller:
    """One request: when it comes (loop turns after the one before), and what becomes of it."""

    rows: int
    turns_before: int
    timeout_s: float | None
    cancelled_after_turns: int | None
    priority: Priority
    poisoned: bool


@dataclass(frozen=True, slots=True)
class Setting:
    batching: str | None
    sizes: tuple[int, ...]
    concurrency: int
    run_s: float
    inline: bool


CALLERS = st.builds(
    Caller,
    rows=st.sampled_from([1, 1, 1, 2, 3, 8]),  # small ones mostly: they are joined
    turns_before=st.sampled_from([0, 0, 0, 1, 3]),
    timeout_s=st.sampled_from([None, None, None, 0.0, 0.0005, 0.002, 10.0]),
    cancelled_after_turns=st.sampled_from([None, None, None, 0, 1, 3, 10]),
    priority=st.sampled_from(list(Priority)),
    poisoned=st.sampled_from([False, False, False, True]),
)
POLICY = (
    f"default_queue_policy {{ max_queue_size: {MAX_QUEUE} timeout_action: DELAY default_timeout_microseconds: 900 }}"
)
SETTINGS = st.builds(
    Setting,
    batching=st.sampled_from(
        [
            None,
            "",
            "max_queue_delay_microseconds: 700",
            "preferred_batch_size: [4] max_queue_delay_microseconds: 1500",
            "preserve_ordering: true",
            POLICY,
        ]
    ),
    sizes=st.sampled_from([tuple(range(1, 9)), (1, 2, 4, 8), (1, 8)]),
    concurrency=st.integers(1, 3),
    run_s=st.sampled_from([0.0, 0.0003, 0.001]),
    inline=st.booleans(),
)


def number_of(index: int, caller: Caller) -> float:
    """Every request has its own number; those that the model chokes on have a negative one."""
    return -1.0 - index if caller.poisoned else 1.0 + index


def model(run_s: float) -> FakeScript:
    def compute(inputs: Tensors, version: int) -> Tensors:
        time.sleep(run_s)
        if (inputs["x"] < 0).any():
            raise InferenceFailed(f"choked on {sorted(set(inputs['x'].ravel().tolist()))}")
        return {"y": inputs["x"] * version}

    return FakeScript(compute=compute)


def belongs(caller: Caller, number: float, outcome: InferResult | BaseException, batching: str | None) -> bool:
    """Whether this outcome is one that this caller may have."""
    match outcome:
        case InferResult():
            return not caller.poisoned and right(outcome, number, caller.rows)
        case asyncio.CancelledError():
            return caller.cancelled_after_turns is not None
        case DeadlineExceeded():
            return caller.timeout_s is not None and caller.timeout_s < BOUND_S
        case Overloaded():
            return batching == POLICY
        case InferenceFailed():
            return caller.poisoned and outcome.detail == f"choked on [{number}]"
        case _:
            return False


async def cancel_later(task: asyncio.Task[InferResult], turns: int) -> None:
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()


async def play(setting: Setting, callers: list[Caller]) -> None:
    bench = BatcherBench(
        setting.batching,
        script=model(setting.run_s),
        sizes=setting.sizes,
        concurrency=setting.concurrency,
        inline=setting.inline,
    )
    tasks, cancels = [], []
    async with asyncio.timeout(BOUND_S):
        for index, caller in enumerate(callers):
            for _ in range(caller.turns_before):
                await asyncio.sleep(0)
            number = number_of(index, caller)
            task = bench.ask(number, caller.rows, timeout_s=caller.timeout_s, priority=caller.priority)
            tasks.append(task)
            if caller.cancelled_after_turns is not None:
                cancels.append(asyncio.create_task(cancel_later(task, caller.cancelled_after_turns)))
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*cancels)
        assert await bench.batcher.close(BOUND_S)
    for index, (caller, outcome) in enumerate(zip(callers, outcomes, strict=True)):
        assert belongs(caller, number_of(index, caller), outcome, setting.batching), (index, caller, outcome)
    assert bench.batcher.pending == 0
    alone = {caller.rows for caller in callers}
    assert all(batch in setting.sizes or batch in alone for batch in bench.model.batches)
    assert bench.model.peak <= setting.concurrency
    metrics = bench.recorder.metrics(0)
    heard = sum(isinstance(outcome, InferResult) for outcome in outcomes)
    assert metrics.successes >= heard  # an answer may come in the very turn in which its caller leaves


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(SETTINGS, st.lists(CALLERS, min_size=4, max_size=16))
def test_every_caller_gets_its_own_answer_or_its_own_error(setting: Setting, callers: list[Caller]) -> None:
    asyncio.run(play(setting, callers))
