"""What a release costs each request, in nanoseconds: `python -m loadtests.routing_cost`.

The rows are measured in turn, round after round, so that a machine that slows down slows all of them; the medians of
the rounds are printed, less the cost of an empty call.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import timeit
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.table import Table

from services.shared.model_ref import ModelRef
from services.shared.observations.recorded import recorded_counters
from services.shared.release.arm_counters import ArmCounters
from services.shared.release.release_counters import ReleaseCounters
from services.shared.release.routing import Arm, ReleaseRouting, Shadow, Sticky, choose, route_of

STABLE, CANDIDATE = ModelRef("digits", 1), ModelRef("digits_int8", 1)
KEY = b"0123456789abcdef0123456789abcdef"
LATENCY_S = 0.0031


def routing(shadow: Shadow | None = None) -> ReleaseRouting:
    arms = (Arm("candidate", CANDIDATE, 5.0),)
    return ReleaseRouting("r-1", "digits", 1, b"salt of 16 bytes", Sticky.KEY, STABLE, arms, shadow, tuple(range(10)))


def a_request(release: ReleaseRouting, counters: ReleaseCounters) -> None:
    """All that a release adds to the path of one answer."""
    key_hash = release.hash_of(KEY)
    arm = counters.of(route_of(release, STABLE, key_hash))
    if arm is not None:
        arm.begin()
        arm.observe(LATENCY_S, key_hash, 3, 0.93)


def rows() -> dict[str, Callable[[], object]]:
    plain, shadowed = routing(), routing(Shadow(CANDIDATE, 50.0))
    stable_hash, candidate_hash = 2**64 - 1, 0
    counters, arm, failing = ReleaseCounters(), ArmCounters(tuple(range(10))), ArmCounters()
    with tempfile.TemporaryDirectory() as directory:
        recorded = recorded_counters(Path(directory), "api-1")  # what it has mapped stays
    route = choose(plain, stable_hash)
    return {
        "an empty call": lambda: None,
        "route_of: no release": lambda: route_of(None, STABLE),
        "hash_of": lambda: plain.hash_of(KEY),
        "choose: stable": lambda: choose(plain, stable_hash),
        "choose: candidate": lambda: choose(plain, candidate_hash),
        "choose: with a shadow": lambda: choose(shadowed, stable_hash),
        "choose: forced": lambda: choose(plain, stable_hash, "candidate"),
        "hash_of + choose": lambda: choose(plain, plain.hash_of(KEY)),
        "ReleaseCounters.of": lambda: counters.of(route),
        "begin": arm.begin,
        "observe": lambda: arm.observe(LATENCY_S, stable_hash, 3, 0.93),
        "observe_error": lambda: failing.observe_error("InferenceFailed", stable_hash),
        "a request: all of it": lambda: a_request(plain, counters),
        "a request: on record, too": lambda: a_request(plain, recorded),
        "snapshot of one arm": arm.snapshot,
    }


def measure(rounds: int, calls: int) -> dict[str, list[float]]:
    """Nanoseconds for a call of each row, one number for each round."""
    measured: dict[str, list[float]] = {name: [] for name in rows()}
    timers = {name: timeit.Timer(call) for name, call in rows().items()}
    for _ in range(rounds):
        for name, timer in timers.items():
            measured[name].append(timer.timeit(calls) / calls * 1e9)
    return measured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--calls", type=int, default=20_000, help="of each row in each round")
    arguments = parser.parse_args()
    measured = measure(arguments.rounds, arguments.calls)
    empty = statistics.median(measured.pop("an empty call"))
    table = Table("", "ns", "least", "most")
    for name, values in measured.items():
        figures = (statistics.median(values), min(values), max(values))
        table.add_row(name, *(f"{max(figure - empty, 0):,.0f}" for figure in figures))
    Console().print(table)


if __name__ == "__main__":
    main()
