"""What a look at a release costs the controller, in microseconds: `python -m loadtests.assess_cost`.

A canary with four guardrails at its second weight, behind a shadow step and a first weight: every look brings a second
of 200 requests. The rows are measured in turn, round after round, in CPU time. `in additions` is the same time counted
in additions of two numbers in Python, which are slower, too, when the machine is.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
from rich.console import Console
from rich.table import Table

from services.shared.release.analysis import AnalysisState, Case, assess, assess_many
from services.shared.release.arm_snapshot import ArmSnapshot
from services.shared.release.latency_histogram import BUCKETS, LatencySnapshot
from services.shared.release.observation import ArmTotals, Observation, StepTotals
from services.shared.release.plan import Guardrail

GUARDRAILS = (
    Guardrail("error_rate", max_increase=0.005),
    Guardrail("latency_p95", max_ratio=1.2),
    Guardrail("disagreement", max=0.02),
    Guardrail("prediction_shift", max=0.1),
)
CLASSES = 10
STEPS = ((True, 200, 200), (False, 10, 190), (False, 50, 150))  # shadow, requests a second of candidate and stable
SECONDS = 30
RELEASES = 100


@dataclass(slots=True)
class Growing:
    """An arm's totals in one step, with a second's requests more at each call."""

    rng: np.random.Generator
    per_s: int
    shadow: bool
    requests: int = 0
    failed: int = 0
    latency: np.ndarray = field(default_factory=lambda: np.zeros(BUCKETS, int))
    classes: np.ndarray = field(default_factory=lambda: np.zeros(CLASSES, int))

    def totals(self) -> ArmTotals:
        n, failed = self.per_s, int(self.rng.binomial(self.per_s, 0.004))
        self.requests, self.failed = self.requests + n, self.failed + failed
        buckets = np.clip(self.rng.normal(150, 10, n - failed).astype(int), 0, BUCKETS - 1)
        self.latency = self.latency + np.bincount(buckets, minlength=BUCKETS)
        self.classes = self.classes + self.rng.multinomial(n - failed, np.full(CLASSES, 1 / CLASSES))
        snapshot = ArmSnapshot(
            requests=self.requests,
            errors={"InferenceFailed": self.failed},
            latency=LatencySnapshot(tuple(self.latency.tolist())),
            classes=dict(enumerate(self.classes.tolist())),
            compared=self.requests if self.shadow else 0,
            differing=self.failed if self.shadow else 0,
        )
        return ArmTotals(snapshot)


def looks(seed: int) -> Iterator[Observation]:
    """What the controller sees of one release, second by second."""
    rng = np.random.default_rng(seed)
    done: list[StepTotals] = []
    for index, (shadow, candidate_per_s, stable_per_s) in enumerate(STEPS):
        candidate, stable = Growing(rng, candidate_per_s, shadow), Growing(rng, stable_per_s, False)
        share = candidate_per_s / (candidate_per_s + stable_per_s)
        for _ in range(SECONDS):
            c, s = candidate.totals(), stable.totals()
            keys = () if shadow else (0.9 * stable.requests, 0.9 * candidate.requests)
            step = StepTotals(index, s, c, shadow, () if shadow else (1 - share, share), keys)
            yield Observation((*done, step), cells=tuple(range(CLASSES)))
        done.append(step)


def rows() -> dict[str, tuple[Callable[[], object], int]]:
    """What is measured, and how many releases each call is of."""
    *before, last = looks(1)
    state = AnalysisState()
    for observation in before:
        _, state = assess(observation, GUARDRAILS, state)
    _, after = assess(last, GUARDRAILS, state)
    cases = [Case(last, GUARDRAILS, state)] * RELEASES
    document = json.dumps(after.to_json())
    return {
        "assess: a second's answers are new": (lambda: assess(last, GUARDRAILS, state), 1),
        "assess: nothing is new": (lambda: assess(last, GUARDRAILS, after), 1),
        f"assess_many: each of {RELEASES}": (lambda: assess_many(cases), RELEASES),
        "AnalysisState to JSON": (lambda: json.dumps(after.to_json()), 1),
        "AnalysisState from JSON": (lambda: AnalysisState.from_json(json.loads(document)), 1),
    }


def seconds_of(call: Callable[[], object], calls: int) -> float:
    """CPU seconds of a call."""
    begun = time.process_time()
    for _ in range(calls):
        call()
    return (time.process_time() - begun) / calls


def measure(rounds: int, calls: int) -> dict[str, list[tuple[float, float]]]:
    """For each row and round: seconds for a release, and for an addition right after it."""
    numbers = [1.0 + i for i in range(1000)]
    measured: dict[str, list[tuple[float, float]]] = {}
    timed = rows()
    for _ in range(rounds):
        for name, (call, releases) in timed.items():
            for_a_release = seconds_of(call, max(calls // releases, 1)) / releases
            for_an_addition = seconds_of(lambda: [number + 1.5 for number in numbers], 20) / len(numbers)
            measured.setdefault(name, []).append((for_a_release, for_an_addition))
    return measured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--calls", type=int, default=200, help="releases of each row in each round")
    arguments = parser.parse_args()
    table = Table("for each release", "µs", "least", "in additions")
    for name, pairs in measure(arguments.rounds, arguments.calls).items():
        times = [1e6 * seconds for seconds, _ in pairs]
        ratio = statistics.median(seconds / addition for seconds, addition in pairs)
        table.add_row(name, *(f"{figure:,.0f}" for figure in (statistics.median(times), min(times), ratio)))
    Console().print(table)


if __name__ == "__main__":
    main()
