"""A request with a large batch as several small ones, which run side by side."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import numpy as np

from services.shared.backends.base import LoadedModel
from services.shared.clock import Clock
from services.shared.engine.base import InferResult
from services.shared.engine.batch_plan import BatchRules
from services.shared.engine.recorder import Recorder, failure_reason
from services.shared.errors import ServingError
from services.shared.model_config import ModelConfig
from services.shared.telemetry.base import FailureReason
from services.shared.tensors import Tensors

Submit = Callable[[Tensors, int], Coroutine[Any, Any, InferResult]]


async def in_parts(
    submit: Submit, inputs: Tensors, batch: int, size: int, *, recorder: Recorder, clock: Clock
) -> InferResult:
    """The outputs of a batch, run as parts of at most `size` elements; times are those of the slowest part. `recorder`
    hears of one request; `submit` must not tell it of the parts.

    Raises what the first part that fails raises; the others are given up.
    """
    arrived_s = clock.monotonic()
    try:
        results = await _all_of(submit, inputs, batch, size)
    except ServingError as error:
        recorder.failed(failure_reason(error), clock.monotonic() - arrived_s)
        raise
    except asyncio.CancelledError:
        recorder.failed(FailureReason.CANCELED, clock.monotonic() - arrived_s)
        raise
    outputs = {name: np.concatenate([each.outputs[name] for each in results]) for name in results[0].outputs}
    queue_s, infer_s = max(each.queue_s for each in results), max(each.infer_s for each in results)
    result = InferResult(outputs, queue_s, infer_s, max(each.run_size for each in results))
    recorder.answered_in_parts(result.queue_s, result.infer_s, clock.monotonic() - arrived_s)
    return result


async def _all_of(submit: Submit, inputs: Tensors, batch: int, size: int) -> list[InferResult]:
    calls = []
    for start in range(0, batch, size):
        part = {name: array[start : start + size] for name, array in inputs.items()}
        calls.append(asyncio.ensure_future(submit(part, min(size, batch - start))))
    try:
        return await asyncio.gather(*calls)
    finally:
        for call in calls:
            call.cancel()


def part_size(model: LoadedModel, config: ModelConfig, rules: BatchRules) -> int:
    """The largest batch that is worth running as one: see `paying_size`; larger ones gain from several threads."""
    fixed = all(-1 not in spec.shape for spec in model.outputs)  # others may differ from part to part
    # A short queue, whose places count requests, could never take all the parts of a large one.
    places = config.batching.queue_policy.max_queue_size if config.batching else 0
    largest = config.max_batch_size
    parts = model.inline and fixed and largest > 0 and (not places or places >= 4 * largest)
    return rules.max_size if parts else sys.maxsize
