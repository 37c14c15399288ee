"""Which waiting requests share a call, and what becomes of its result. Pure; `merge.py` acts on it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from services.shared.errors import InferenceFailed, InvalidInput, ServingError
from services.shared.inference.base import InferResult
from services.shared.model_ref import ModelRef
from services.shared.priority import Priority
from services.shared.tensors import Array, Tensors


@dataclass(frozen=True, slots=True)
class LaneKey:
    """What requests must agree in to share a call; `signature` holds each input's name, type and shape of a row."""

    ref: ModelRef
    priority: Priority
    outputs: tuple[str, ...] | None
    signature: tuple[tuple[str, np.dtype[Any], tuple[int, ...]], ...]


@dataclass(frozen=True, slots=True)
class Size:
    """How much a waiting request brings to a call; one that is `alone` shares with nobody."""

    rows: int
    size_bytes: int
    alone: bool = False


def lane_of(
    ref: ModelRef, inputs: Tensors, priority: Priority, outputs: Sequence[str] | None
) -> tuple[LaneKey, Size] | None:
    """Where a request may wait, and its size; None when its inputs do not have one common batch dimension."""
    rows = {array.shape[0] if array.ndim else 0 for array in inputs.values()}
    if len(rows) != 1 or 0 in rows:
        return None
    signature = tuple((name, inputs[name].dtype, inputs[name].shape[1:]) for name in sorted(inputs))
    key = LaneKey(ref, priority, tuple(outputs) if outputs else None, signature)
    return key, Size(rows.pop(), sum(array.nbytes for array in inputs.values()))


def take(waiting: Sequence[Size], max_rows: int, max_bytes: int) -> int:
    """How many of the waiting, from the first on, share the next call: 0 only when nobody waits.

    The first always goes, even when it alone is over a limit: the server then says so.
    """
    rows = size_bytes = 0
    for count, size in enumerate(waiting):
        rows, size_bytes = rows + size.rows, size_bytes + size.size_bytes
        if count and (size.alone or waiting[0].alone or rows > max_rows or size_bytes > max_bytes):
            return count
    return len(waiting)


def wire_deadline(deadlines: Sequence[float | None]) -> float | None:
    """The deadline of a shared call: the latest of its requests; none as soon as one of them has none."""
    latest = 0.0
    for deadline in deadlines:
        if deadline is None:
            return None
        latest = max(latest, deadline)
    return latest


def must_split(error: ServingError, requests: int) -> bool:
    """Whether one request may have spoilt a shared call, so that each is sent again on its own."""
    return requests > 1 and isinstance(error, InvalidInput | InferenceFailed)


def split_rows(result: InferResult, rows: Sequence[int]) -> list[dict[str, Array]]:
    """Each request's rows of every output; raises InferenceFailed when an output does not have one row per row sent."""
    bounds = list(itertools.accumulate(rows, initial=0))
    for name, array in result.outputs.items():
        if not array.ndim or array.shape[0] != bounds[-1]:
            raise InferenceFailed(f"output {name!r} has shape {list(array.shape)} for a batch of {bounds[-1]}")
    return [
        {name: array[start:stop] for name, array in result.outputs.items()}
        for start, stop in itertools.pairwise(bounds)
    ]
