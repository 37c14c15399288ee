"""Runs of a model before it is ready, so that no caller pays for the first run of a batch size."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from services.shared.backends.base import LoadedModel
from services.shared.clock import Clock
from services.shared.errors import InferenceFailed, ServingError
from services.shared.model_config import ModelConfig, Warmup, WarmupInput
from services.shared.tensors import BYTES, Array, Tensors, TensorSpec, decode_raw

WARMUP_BUDGET_S = 2.0
_AGAIN, _AGAIN_S = 2, 0.2
_UNNOTICED_S = 0.001


def used_sizes(config: ModelConfig, largest_run_s: float, budget_s: float = WARMUP_BUDGET_S) -> tuple[int, ...]:
    """The batch sizes that will be used, largest first: all of them when running each once fits the budget, else
    the powers of two, the preferred ones and the largest. Always with 1.

    A run is taken to cost in proportion to its batch: all of 1..n cost (n + 1) / 2 runs of n. With n = 8 and 0.4 s for
    the largest that is 1.8 s, so all; with n = 32 and 0.4 s it is 6.6 s, so 32, 16, 8, 4, 2, 1.
    """
    largest = max(config.max_batch_size, 1)
    if largest_run_s * (largest + 1) / 2 <= budget_s:
        return tuple(range(largest, 0, -1))
    return few_sizes(config)


def few_sizes(config: ModelConfig) -> tuple[int, ...]:
    """The powers of two, the preferred sizes and the largest, descending."""
    largest = max(config.max_batch_size, 1)
    powers = {2**i for i in range(math.floor(math.log2(largest)) + 1)}
    preferred = set(config.batching.preferred_batch_sizes) if config.batching else set()
    return tuple(sorted(powers | preferred | {largest}, reverse=True))


def warm(model: LoadedModel, config: ModelConfig, directory: Path, clock: Clock) -> Mapping[int, float]:
    """Runs the model with the batch sizes that will be used and with the config's `model_warmup`; gives the seconds
    that each usable size takes, ascending, 0 where nothing could be measured. Blocks. `directory` is the model's.

    Raises InferenceFailed.

    A model with inputs of any size is run by its `model_warmup` only: sizes that were made up might not fit it.
    """
    if all(-1 not in spec.shape for spec in model.inputs):
        seconds = _measured(model, config, clock)
    else:
        seconds = dict.fromkeys(used_sizes(config, 0.0), 0.0)
    for each in config.warmups:
        inputs = warmup_inputs(each, config, directory)
        for _ in range(each.count):
            _run(model, inputs, f"model_warmup {each.name!r} of {config.name}")
    return dict(sorted(seconds.items()))


def _measured(model: LoadedModel, config: ModelConfig, clock: Clock) -> dict[int, float]:
    """Runs the few sizes, and the other used ones where the first run of a size takes longer than its next.

    The largest goes first: a runtime's arena then grows once, and smaller runs fit into it.
    """
    largest = max(config.max_batch_size, 1)
    largest_run_s = _timed_run(model, config, largest, clock)
    if 2 * largest_run_s >= _AGAIN_S:
        return _long_runs(model, config, used_sizes(config, largest_run_s), clock)
    seconds = {size: _timed_run(model, config, size, clock) for size in few_sizes(config)}
    # Brief runs are told apart only when they are measured more than once.
    again = {
        size: min(before_s, *(_timed_run(model, config, size, clock) for _ in range(_AGAIN)))
        for size, before_s in seconds.items()
    }
    surpluses = sorted(seconds[size] - again[size] for size in seconds)
    if surpluses[len(surpluses) // 2] <= _UNNOTICED_S:
        return {size: expected_s(again, size) for size in range(1, largest + 1)}
    for size in used_sizes(config, largest_run_s):
        if size not in again:
            again[size] = _timed_run(model, config, size, clock)
    return again


def _long_runs(model: LoadedModel, config: ModelConfig, sizes: Sequence[int], clock: Clock) -> dict[int, float]:
    """Seconds of a run of each size, and of the best of several of size 1 between them. Others use the cores meanwhile,
    often another process that loads the same model: that must not make a large batch seem to pay."""
    ones_s, seconds = [_timed_run(model, config, 1, clock)], {}
    for size in sizes:
        if size > 1:
            seconds[size] = _timed_run(model, config, size, clock)
            ones_s.append(_timed_run(model, config, 1, clock))
    return {1: min(ones_s), **seconds}


def expected_s(seconds: Mapping[int, float], size: int) -> float:
    """What a batch of this size takes by those that were measured, on the straight line between its neighbours:
    with 4: 3 ms and 8: 5 ms, 6 takes 4 ms. The smallest and the largest size are among the measured."""
    if size in seconds:
        return seconds[size]
    below = max(each for each in seconds if each < size)
    above = min(each for each in seconds if each > size)
    return seconds[below] + (seconds[above] - seconds[below]) * (size - below) / (above - below)


def warmup_inputs(warmup: Warmup, config: ModelConfig, directory: Path) -> Tensors:
    """The inputs of one `model_warmup` entry; raises InferenceFailed for data that is not there or does not fit."""
    rows = warmup.batch_size if config.max_batch_size else None
    return {
        each.spec.name: _source(each, rows, f"{config.name}: model_warmup {warmup.name!r}", directory)
        for each in warmup.inputs
    }


def _timed_run(model: LoadedModel, config: ModelConfig, size: int, clock: Clock) -> float:
    rows = size if config.max_batch_size else None
    inputs = {spec.name: _zeros(spec, rows) for spec in model.inputs}
    before_s = clock.monotonic()
    _run(model, inputs, f"the first run of {config.name} with batch size {size}")
    return clock.monotonic() - before_s


def _run(model: LoadedModel, inputs: Mapping[str, Array], what: str) -> None:
    try:
        model.run(inputs)
    except ServingError as error:
        raise InferenceFailed(f"{what} failed: {error.detail}") from error


def _shape(spec: TensorSpec, rows: int | None) -> tuple[int, ...]:
    return spec.shape if rows is None else (rows, *spec.shape)


def _zeros(spec: TensorSpec, rows: int | None) -> Array:
    return np.full(_shape(spec, rows), b"" if spec.datatype == BYTES else 0, dtype=spec.dtype)


def _source(each: WarmupInput, rows: int | None, where: str, directory: Path) -> Array:
    spec = each.spec
    if any(d < 0 for d in spec.shape):
        raise InferenceFailed(f"{where}: input {spec.name!r} needs dims without -1")
    if each.source == "zero":
        return _zeros(spec, rows)
    if each.source == "random":
        return _random(spec, rows)
    folder = (directory / "warmup").resolve()
    path = (folder / each.source).resolve()
    if not path.is_relative_to(folder) or not path.is_file():
        raise InferenceFailed(f"{where}: there is no file {each.source!r} in the model's warmup directory")
    try:
        return decode_raw(path.read_bytes(), spec.datatype, _shape(spec, rows), field=spec.name)
    except ServingError as error:
        raise InferenceFailed(f"{where}: file {each.source!r}: {error.detail}") from error


def _random(spec: TensorSpec, rows: int | None) -> Array:
    shape, random = _shape(spec, rows), np.random.default_rng(0)
    if spec.datatype == BYTES:
        return _zeros(spec, rows)
    if spec.dtype.kind in "iu":
        limits = np.iinfo(spec.dtype)
        return random.integers(limits.min, limits.max, size=shape, dtype=spec.dtype.type, endpoint=True)
    return random.random(shape, dtype=np.float32).round(3).astype(spec.dtype)
