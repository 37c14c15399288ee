"""One run of a model for one or more requests: join, run, split. Blocks; called in the batcher's threads."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from services.shared.backends.base import LoadedModel
from services.shared.clock import Clock
from services.shared.errors import InferenceFailed, InvalidInput, ServingError
from services.shared.tensors import Tensors

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Execution:
    """What each request gets, in order, and when the steps ended, in the clock's monotonic seconds."""

    outputs: tuple[Tensors, ...]
    started_s: float
    joined_s: float
    ran_s: float
    split_s: float


def attempt(
    model: LoadedModel,
    requests: Sequence[Tensors],
    sizes: Sequence[int],
    *,
    batched: bool,
    clock: Clock,
    alone: bool = False,
) -> Execution | ServingError:
    """`execute`, with its error as a value; never raises."""
    try:
        return execute(model, requests, sizes, batched=batched, clock=clock, alone=alone)
    except (InferenceFailed, InvalidInput) as error:
        return error
    except Exception as error:
        # A backend raises only those above: anything else is its bug, and must not cost a thread or a caller's answer.
        _log.exception("a run raised what a backend does not promise")
        return InferenceFailed(f"the run failed: {type(error).__name__}: {error}")


def execute(
    model: LoadedModel,
    requests: Sequence[Tensors],
    sizes: Sequence[int],
    *,
    batched: bool,
    clock: Clock,
    alone: bool = False,
) -> Execution:
    """Runs the requests, whose batch sizes are `sizes`, as one batch; `alone` is handed to the model.

    Raises what the model raises, and InferenceFailed for outputs that cannot be split. Joined requests get views of
    the run's outputs.
    """
    started_s = clock.monotonic()
    inputs = requests[0] if len(requests) == 1 else _join(requests)
    joined_s = clock.monotonic()
    outputs = model.run(inputs, alone=True) if alone else model.run(inputs)
    ran_s = clock.monotonic()
    shares = _split(outputs, sizes) if batched else (outputs,)
    return Execution(shares, started_s, joined_s, ran_s, clock.monotonic())


def _join(requests: Sequence[Tensors]) -> Tensors:
    return {name: np.concatenate([inputs[name] for inputs in requests]) for name in requests[0]}


def _split(outputs: Tensors, sizes: Sequence[int]) -> tuple[Tensors, ...]:
    total = sum(sizes)
    for name, array in outputs.items():
        if array.ndim == 0 or array.shape[0] != total:
            raise InferenceFailed(
                f"output '{name}' has shape {list(array.shape)} for a batch of {total}: the first dimension of every "
                "output must be the batch, or the config must say max_batch_size: 0"
            )
    if len(sizes) == 1:
        return (outputs,)
    shares, start = [], 0
    for size in sizes:
        shares.append({name: array[start : start + size] for name, array in outputs.items()})
        start += size
    return tuple(shares)
