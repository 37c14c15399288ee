"""What a request takes of one process on one core: asked of a server that is started for it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import orjson

from services.cli.measure.grayscale_server import Serving
from services.cli.measure.load import MeasurementFailed, Request, percentile, upload_all
from services.cli.measure.one_answer import connect, one_answer
from services.cli.measure.open_loop import closed_loop, open_loop
from services.cli.measure.run_counts import mean_batch, run_counts, runs_between
from services.cli.measure.service_times import INLINE_S, ServiceTimes, Together, TurnTimes, service_times, turn_times
from services.shared.engine.batch_plan import BatchRules, batch_rules
from services.shared.engine.run_cost import RunCost
from services.shared.engine.warmup import expected_s
from services.shared.imaging.png import is_tiny_png
from services.shared.model_config import ModelConfig

BUSY_CLIENTS = 16
LARGEST_BATCH = 32
_PAUSE_S = 0.02
Tell = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class MeasuredService:
    """`rules` are how the engine joins requests, by these times; `alone_ms` is the median latency of a request that
    comes after a pause."""

    times: ServiceTimes
    rules: BatchRules
    alone_ms: float
    busy_per_s: float


def measure_service(
    serving: Serving, model: str, config: ModelConfig, picture: Path, *, seconds: float, tell: Tell
) -> MeasuredService:
    """Takes about six times `seconds`. Raises MeasurementFailed when an answer is not 200."""
    url = serving.predict_url(model)
    one = upload_all(url, [picture])
    tell("measuring: one client", 0, 4)
    _ask(one, min(seconds, 1.0))
    told = _ask(one, seconds)
    tell("measuring: batches", 1, 4)
    before = run_counts(serving, model)
    _ask_batches(url, picture, config, seconds)
    tell("measuring: one client, quickly", 2, 4)
    alone = _busy(one, serving, model, 1, seconds)
    alone_s = percentile(alone.latency_s, 0.5)
    rested_s = _rested(one, alone_s, seconds)
    tell("measuring: many clients", 3, 4)
    many = _busy(one, serving, model, BUSY_CLIENTS, seconds)
    tell("measuring: done", 4, 4)
    single_s = tuple(each.infer_s for each in told)
    run_s = {**runs_between(before, run_counts(serving, model)), 1: sum(single_s) / len(single_s)}
    filled = _filled(run_s)
    times = service_times(
        tuple(each.decode_s for each in told), filled, single_s, alone_s=alone_s,
        busy_s=many.request_s, batch=min(max(round(many.batch), 1), max(filled)), wake_s=max(rested_s - alone_s, 0.0),
    )  # fmt: skip
    if is_tiny_png(picture.read_bytes()) and run_s[1] <= INLINE_S and config.max_batch_size > 0:
        turns, wire_s = _turns(alone, many, config, filled)
        times = replace(times, turns=turns, wire_s=max(wire_s, 0.0))
    return MeasuredService(times, batch_rules(config, filled), 1000 * rested_s, many.per_s)


@dataclass(frozen=True, slots=True)
class _Answer:
    """What one answer says of itself, in seconds; what is `infer_s` of it is the run's."""

    decode_s: float
    infer_s: float


def _ask(request: Request, seconds: float) -> list[_Answer]:
    """One client, again and again, three times at least."""
    found: list[_Answer] = []
    address, end_s = request.address, time.monotonic() + seconds
    headers = {"content-type": request.content_type}
    with contextlib.closing(connect(address.hostname, address.port)) as connection:
        while time.monotonic() < end_s or len(found) < 3:
            body = one_answer(connection, "POST", request.target, request.url, request.body, headers)
            timings = orjson.loads(body)["timings_ms"]
            found.append(_Answer(timings["decode"] / 1000, timings["infer"] / 1000))
    return found


def _ask_batches(url: str, picture: Path, config: ModelConfig, seconds: float) -> None:
    """Requests of 2, 4, 8 … pictures; the engine may run them in parts, so what runs are is asked of its statistics."""
    size, largest = 2, min(max(config.max_batch_size, 1), LARGEST_BATCH)
    while size <= largest:
        _ask(upload_all(url, [picture] * size), seconds / 8)
        size *= 2


def _filled(run_s: dict[int, float]) -> dict[int, float]:
    """Of every size, those between the measured ones on a straight line; a larger run never takes less."""
    rising: dict[int, float] = {}
    for size in sorted(run_s):
        rising[size] = max(run_s[size], *rising.values()) if rising else run_s[size]
    return {size: expected_s(rising, size) for size in range(1, max(rising) + 1)}


def _rested(request: Request, alone_s: float, seconds: float) -> float:
    """The median latency of requests that each come when the core has long done nothing for us; ten at least."""
    pause_s = max(_PAUSE_S, 3 * alone_s)
    load = open_loop(request, np.arange(max(seconds / pause_s, 10)) * pause_s)
    return percentile(np.sort(load.done_s - load.sent_s).tolist(), 0.5)


def _turns(alone: _Busy, many: _Busy, config: ModelConfig, run_s: dict[int, float]) -> tuple[TurnTimes, float]:
    # As `Batcher.brief_size` has it, which knows larger runs from the start.
    largest = RunCost(run_s).size_within(INLINE_S, config.max_batch_size if config.batching else 1)
    one, several = (Together(each.batch, each.request_s * each.batch) for each in (alone, many))
    return turn_times(alone.latency_s, one, several, max(largest, 1))


@dataclass(frozen=True, slots=True)
class _Busy:
    """What clients without a pause found: latencies, processor time of a request, requests a second, and how many ran
    together in the mean."""

    latency_s: tuple[float, ...]
    request_s: float
    per_s: float
    batch: float


def _busy(request: Request, serving: Serving, model: str, clients: int, seconds: float) -> _Busy:
    closed_loop(request, clients, seconds / 4)
    earlier = run_counts(serving, model)
    before_s = sum(process.cpu_s() for process in serving.processes)
    load = closed_loop(request, clients, seconds)
    spent_s = sum(process.cpu_s() for process in serving.processes) - before_s
    answered = load.statuses().get(200, 0)
    if load.errors or not answered:
        raise MeasurementFailed(f"{clients} clients were not all answered with 200: {load.statuses()}")
    batch = mean_batch(earlier, run_counts(serving, model))
    latency_s = tuple(np.sort(load.done_s - load.sent_s).tolist())
    return _Busy(latency_s, spent_s / answered, answered / seconds, batch)
