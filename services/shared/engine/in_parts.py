"""A request with a large batch as several small ones, which run side by side."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import numpy as np

from services.shared.engine.base import InferResult
from services.shared.tensors import Tensors

Submit = Callable[[Tensors, int], Coroutine[Any, Any, InferResult]]


async def in_parts(submit: Submit, inputs: Tensors, batch: int, size: int) -> InferResult:
    """The outputs of a batch, run as parts of at most `size` elements; times are those of the slowest part.

    Raises what the first part that fails raises; the others are given up.
    """
    calls = []
    for start in range(0, batch, size):
        part = {name: array[start : start + size] for name, array in inputs.items()}
        calls.append(asyncio.ensure_future(submit(part, min(size, batch - start))))
    try:
        results = await asyncio.gather(*calls)
    finally:
        for call in calls:
            call.cancel()
    outputs = {name: np.concatenate([each.outputs[name] for each in results]) for name in results[0].outputs}
    return InferResult(outputs, max(each.queue_s for each in results), max(each.infer_s for each in results))
