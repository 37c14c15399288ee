"""What a request takes of one process on one core: asked of a server that is started for it."""

from __future__ import annotations

import contextlib
import http.client
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import orjson

from services.cli.measure.grayscale_server import Serving, api
from services.cli.measure.load import MeasurementFailed, Request, percentile, upload_all
from services.cli.measure.open_loop import closed_loop
from services.cli.measure.service_times import ServiceTimes, service_times
from services.shared.engine.batch_plan import BatchRules, batch_rules
from services.shared.engine.warmup import expected_s
from services.shared.model_config import ModelConfig

BUSY_CLIENTS = 16
LARGEST_BATCH = 32
Tell = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class MeasuredService:
    """`rules` are how the engine joins requests, by these times; `alone_ms` is one client's median latency."""

    times: ServiceTimes
    rules: BatchRules
    alone_ms: float
    busy_per_s: float


@contextlib.contextmanager
def one_core_server(models: Path, directory: Path) -> Iterator[Serving]:
    """The API with one process that has the last core of this machine; this process keeps to the others, where there
    are others."""
    cores = sorted(os.sched_getaffinity(0))
    try:
        os.sched_setaffinity(0, cores[-1:])  # what is started from here inherits it
        with api(models, directory, processes=1) as serving:
            os.sched_setaffinity(0, cores[:-1] or cores)
            yield serving
    finally:
        os.sched_setaffinity(0, cores)


def measure_service(
    serving: Serving, model: str, config: ModelConfig, picture: Path, *, seconds: float, tell: Tell
) -> MeasuredService:
    """Takes about four times `seconds`. Raises MeasurementFailed when an answer is not 200."""
    url = serving.predict_url(model)
    one = upload_all(url, [picture])
    tell("measuring: one client", 0, 4)
    _ask(one, min(seconds, 1.0))
    alone = _ask(one, seconds)
    tell("measuring: batches", 1, 4)
    run_s = _runs(url, picture, config, seconds)
    single_s = tuple(each.infer_s for each in alone)
    run_s[1] = sum(single_s) / len(single_s)
    rules = batch_rules(config, _filled(run_s))
    tell("measuring: many clients", 3, 4)
    busy_s, per_s = _busy(one, serving, seconds)
    tell("measuring: done", 4, 4)
    alone_s = percentile(sorted(each.latency_s for each in alone), 0.5)
    times = service_times(
        tuple(each.decode_s for each in alone), _filled(run_s), single_s,
        alone_s=alone_s, busy_s=busy_s, batch=min(rules.max_size, BUSY_CLIENTS),
    )  # fmt: skip
    return MeasuredService(times, rules, 1000 * alone_s, per_s)


@dataclass(frozen=True, slots=True)
class _Answer:
    """One answer, in seconds; what is `infer_s` of it is the run's."""

    latency_s: float
    decode_s: float
    infer_s: float


def _ask(request: Request, seconds: float) -> list[_Answer]:
    """One client, again and again, three times at least; what the answers say of themselves."""
    found: list[_Answer] = []
    address, end_s = request.address, time.monotonic() + seconds
    connection = http.client.HTTPConnection(address.hostname or "127.0.0.1", address.port or 80, timeout=60)
    with contextlib.closing(connection):
        while time.monotonic() < end_s or len(found) < 3:
            begun_s = time.perf_counter()
            try:
                connection.request("POST", request.target, request.body, {"content-type": request.content_type})
                response = connection.getresponse()
                body = response.read()
            except (OSError, http.client.HTTPException) as error:
                raise MeasurementFailed(f"{request.url} did not answer: {error}") from error
            latency_s = time.perf_counter() - begun_s
            if response.status != 200:
                raise MeasurementFailed(f"{request.url} answered {response.status}: {body[:300]!r}")
            timings = orjson.loads(body)["timings_ms"]
            found.append(_Answer(latency_s, timings["decode"] / 1000, timings["infer"] / 1000))
    return found


def _runs(url: str, picture: Path, config: ModelConfig, seconds: float) -> dict[int, float]:
    """The median run by batch size, powers of two, each asked for by one request with as many pictures."""
    found: dict[int, float] = {}
    size, largest = 2, min(max(config.max_batch_size, 1), LARGEST_BATCH)
    while size <= largest:
        answers = _ask(upload_all(url, [picture] * size), seconds / 8)
        found[size] = percentile(sorted(each.infer_s for each in answers), 0.5)
        size *= 2
    return found


def _filled(run_s: dict[int, float]) -> dict[int, float]:
    """Of every size, those between the measured ones on a straight line; a larger run never takes less."""
    rising: dict[int, float] = {}
    for size in sorted(run_s):
        rising[size] = max(run_s[size], *rising.values()) if rising else run_s[size]
    return {size: expected_s(rising, size) for size in range(1, max(rising) + 1)}


def _busy(request: Request, serving: Serving, seconds: float) -> tuple[float, float]:
    """Processor time of a request, in seconds, and requests a second, while BUSY_CLIENTS ask at once."""
    closed_loop(request, BUSY_CLIENTS, seconds / 4)
    before_s = sum(process.cpu_s() for process in serving.processes)
    load = closed_loop(request, BUSY_CLIENTS, seconds)
    spent_s = sum(process.cpu_s() for process in serving.processes) - before_s
    answered = load.statuses().get(200, 0)
    if load.errors or not answered:
        raise MeasurementFailed(f"{BUSY_CLIENTS} clients were not all answered with 200: {load.statuses()}")
    return spent_s / answered, answered / seconds
