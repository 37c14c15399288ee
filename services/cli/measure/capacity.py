"""How many processes a load needs so that all but one in a hundred are answered in time. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from services.cli.measure.load import percentile
from services.cli.measure.open_loop import poisson
from services.cli.measure.service_times import MOST_ASKED, ServiceTimes
from services.cli.measure.simulated_process import simulate
from services.shared.engine.batch_plan import BatchRules

MAX_PROCESSES = 65_536
_REQUESTS = 20_000  # of a simulation: 200 of them are slower than the 99th percentile
_SEED = 7


@dataclass(frozen=True, slots=True)
class Predicted:
    """Of one process: what is asked of it each second, what part that is of all that its core can do, how busy the core
    is with it (more than that where few requests together cost more each than many), and the latencies."""

    rate_per_s: float
    asked: float
    busy: float
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True)
class Capacity:
    """`processes` of one core each, and what each of them then sees; `most_per_s` is what one of them can be asked for
    within the target."""

    processes: int
    predicted: Predicted
    most_per_s: float


class OutOfReach(Exception):
    """No number of processes is enough; the message says why."""


def predict(times: ServiceTimes, rules: BatchRules, rate_per_s: float, *, requests: int = _REQUESTS) -> Predicted:
    """By simulation of so many Poisson arrivals; the first tenth, while queues fill, does not count."""
    due_s = poisson(rate_per_s, requests / rate_per_s, seed=_SEED)
    found = simulate(times, rules, due_s, seed=_SEED)
    ascending = np.sort(1000 * found.latency_s[len(due_s) // 10 :]).tolist()
    asked = rate_per_s * times.busy_s
    return Predicted(rate_per_s, asked, found.busy, percentile(ascending, 0.5), percentile(ascending, 0.99))


def needed(
    times: ServiceTimes, rules: BatchRules, rate_per_s: float, p99_ms: float, *, requests: int = _REQUESTS
) -> Capacity:
    """The fewest processes, each with an even part of the load, by simulations of so many requests. Raises
    OutOfReach."""

    def part(processes: int) -> Predicted:
        return predict(times, rules, rate_per_s / processes, requests=requests)

    def holds(predicted: Predicted) -> bool:
        return predicted.p99_ms <= p99_ms and predicted.asked <= MOST_ASKED

    if 1000 * times.alone_s > p99_ms:
        raise OutOfReach(
            f"a request that meets no other takes {1000 * times.alone_s:.3g} ms, more than {p99_ms:g} ms: it needs a "
            "quicker model or core, or a smaller picture"
        )
    fewest = max(1, math.ceil(rate_per_s * times.busy_s / MOST_ASKED))
    enough = _first(lambda n: holds(part(n)), fewest)
    if enough is None:
        raise OutOfReach(
            f"one request in a hundred takes longer than {p99_ms:g} ms however few there are: some pictures or runs "
            "are slow by themselves"
        )
    return Capacity(enough, part(enough), _most_per_s(times, rules, p99_ms, requests))


def _first(holds: Callable[[int], bool], low: int) -> int | None:
    """The smallest number from `low` on that holds, where all above one that does hold as well; None beyond
    MAX_PROCESSES, or when 256 times as many as the load keeps busy are not enough: then hardly a request meets another.
    """
    limit = min(256 * low, MAX_PROCESSES)
    high = low
    while not holds(high):
        if high >= limit:
            return None
        low, high = high + 1, min(2 * high, limit)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return high


def _most_per_s(times: ServiceTimes, rules: BatchRules, p99_ms: float, requests: int) -> float:
    """To a fiftieth."""
    low, high = 0.0, MOST_ASKED / times.busy_s
    if predict(times, rules, high, requests=requests).p99_ms <= p99_ms:
        return high
    while high - low > 0.02 * high:
        middle = (low + high) / 2
        if predict(times, rules, middle, requests=requests).p99_ms <= p99_ms:
            low = middle
        else:
            high = middle
    return low
