"""Decoded pictures through a model: the calls that they need, and each picture's part of the outputs."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from services.shared.imaging.base import DecodedImage, Pixels
from services.shared.inference.base import InferenceClient, InferResult
from services.shared.model_view import ModelView
from services.shared.priority import Priority
from services.shared.tensors import Array


@dataclass(frozen=True, slots=True)
class InferredPictures:
    """Per picture its row of each output that the view's postprocessor wants; the longest call's times, in seconds."""

    rows: list[tuple[Array, ...]]
    queue_s: float
    infer_s: float


async def infer_pictures(
    client: InferenceClient,
    view: ModelView,
    pictures: Sequence[DecodedImage],
    *,
    timeout_s: float | None,
    priority: Priority,
) -> InferredPictures:
    """Pictures beyond the model's batch go in calls of their own, all at once; raises what the client raises."""
    config, outputs = view.config, view.outputs
    name, size = config.inputs[0].name, max(config.max_batch_size, 1)
    calls = []
    for start in range(0, len(pictures), size):
        tensors = [picture.tensor for picture in pictures[start : start + size]]
        batch = _joined(tensors) if config.max_batch_size > 0 else tensors[0]
        calls.append(client.infer(view.ref, {name: batch}, timeout_s=timeout_s, priority=priority, outputs=outputs))
    answers = await all_or_none(calls)
    rows: list[tuple[Array, ...]] = []
    for start, answer in zip(range(0, len(pictures), size), answers, strict=True):
        count = min(size, len(pictures) - start) if config.max_batch_size > 0 else None
        rows += view.rows(answer.outputs, count)
    return InferredPictures(rows, max(a.queue_s for a in answers), max(a.infer_s for a in answers))


def _joined(tensors: list[Pixels]) -> Pixels:
    return tensors[0][np.newaxis] if len(tensors) == 1 else np.stack(tensors)


async def all_or_none(calls: Sequence[Coroutine[Any, Any, InferResult]]) -> list[InferResult]:
    """The answers of calls that are made at once. Raises what the first that fails raises, and cancels the others."""
    if len(calls) == 1:
        return [await calls[0]]
    tasks = [asyncio.ensure_future(call) for call in calls]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:  # when one fails there is no answer: the others need not be computed
            task.cancel()
