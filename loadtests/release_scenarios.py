"""The scenarios of `release_sim.py`: what a release's arms do, and what must come out."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from loadtests.release_bounds import absolute_bound, quantile_bound, rate_bound
from loadtests.release_world import (
    STEPS,
    Arms,
    Array,
    Outcomes,
    Phase,
    Test,
    latency_test,
    log_normal_buckets,
    rate_test,
    shift_test,
    simulate,
)
from services.shared.release.ab_test import AbPlan, Winner, compare, fixed_sample_size
from services.shared.release.analysis import MIN_REWARDS
from services.shared.release.estimate import log_evidence_below
from services.shared.release.mean_evidence import Difference, Sample
from services.shared.release.rate_evidence import Line

GUARDRAILS = 4
ALPHA = 0.05
ALPHA_K = ALPHA / GUARDRAILS
SIGMA = 0.5  # of log-normal latencies: the 95th percentile is 2.3 times the median
BURST_FACTOR = 3.0
CLASSES = np.array([0.28, 0.17, 0.12, 0.10, 0.08, 0.07, 0.05, 0.04, 0.03, 0.02, 0.04])
KEYS = 2000


@dataclass(frozen=True, slots=True)
class Guarded:
    """A guardrail in the simulation: its test, and its arms when they are identical and when the candidate is exactly
    at the limit. `margin` is what a z-test on the last cell would allow."""

    name: str
    test: Test
    same: Arms
    at_limit: Arms
    margin: float = 0.0


def shares(bad: float) -> Array:
    return np.array([1 - bad, bad])


def moved(by: float) -> Array:
    """The classes with `by` of the answers taken from the first and given to the second."""
    there = np.zeros(len(CLASSES))
    there[:2] = -by, by
    return CLASSES + there


def latencies(factor: float, sigma: float = SIGMA) -> Array:
    """The buckets' shares for `factor` times stable's latencies, less the buckets that nothing ever reaches."""
    reached: Array = log_normal_buckets(factor, sigma)[80:260]
    reached /= reached.sum()
    return reached


def narrower() -> Arms:
    """Latencies of half the spread, with their 95th percentile exactly at the limit of 1.2."""
    same_quantile = math.exp(NormalDist().inv_cdf(0.95) * SIGMA / 2)
    return Arms(latencies(1.2 * same_quantile, SIGMA / 2), latencies(1.0))


def guarded() -> tuple[Guarded, ...]:
    errors, right, fast = shares(0.005), shares(0.015), latencies(1.0)
    return (
        Guarded(
            "error_rate", rate_test(Line(1, 0.005), prior=True), Arms(errors, errors), Arms(shares(0.01), errors), 0.005
        ),
        Guarded("latency_p95", latency_test(0.95, 1.2), Arms(fast, fast), Arms(latencies(1.2), fast)),
        Guarded("disagreement", rate_test(Line(0, 0.02)), Arms(shares(0.0), right), Arms(shares(0.02), right), 0.02),
        Guarded("prediction_shift", shift_test(0.1), Arms(CLASSES, CLASSES), Arms(moved(0.1), CLASSES)),
    )


def also_guarded() -> tuple[Guarded, ...]:
    """Those that the four are not: each by itself, with the same share of alpha."""
    wrong, fast = shares(0.10), latencies(1.0)
    same = Arms(fast, fast)
    at_limit = Arms(latencies(1.2), fast)
    return (
        Guarded("accuracy", rate_test(Line(1, 0.01)), Arms(wrong, wrong), Arms(shares(0.11), wrong), 0.01),
        Guarded("latency_p50", latency_test(0.5, 1.2), same, at_limit),
        Guarded("latency_p90", latency_test(0.9, 1.2), same, at_limit),
        Guarded("latency_p99", latency_test(0.99, 1.2), same, at_limit),
    )


def rewards_failed(worse: float, releases: int, seed: int, *, limit: float = 0.1) -> float:
    """The share of releases that a guardrail on rewards throws out: exponential ones of mean 1, the candidate's mean
    lower by `worse`, looked at every second of the steps."""
    rng = np.random.default_rng(seed)
    failed = 0
    for _ in range(releases):
        strata: list[tuple[Sample, Sample]] = []
        for phase in STEPS:
            c = _growing(rng, phase.candidate_per_s, phase.seconds, 1.0 - worse)
            s = _growing(rng, phase.stable_per_s, phase.seconds, 1.0)
            looks = (
                Difference.over([*strata, pair]) for pair in zip(c, s, strict=True) if pair[0].count >= MIN_REWARDS
            )
            if any(log_evidence_below(look, -limit, ALPHA_K) >= math.log(1 / ALPHA_K) for look in looks):
                failed += 1
                break
            strata.append((c[-1], s[-1]))
    return failed / releases


def _growing(rng: np.random.Generator, per_s: float, seconds: int, mean: float) -> list[Sample]:
    """An arm's rewards as each second leaves them."""
    counts = rng.poisson(per_s, seconds).cumsum()
    values = rng.exponential(mean, counts[-1])
    totals, squares = values.cumsum(), (values**2).cumsum()
    rows = ((int(n), float(totals[n - 1]), float(squares[n - 1])) if n else (0, 0.0, 0.0) for n in counts)
    return [Sample(*row) for row in rows]


def bursty(own: bool, slower: float = 1.2) -> Arms:
    """Latencies at the limit, or `slower` times stable's, where one second in fifty begins a burst in which all answers
    take three times as long: of both arms together, or of each arm at its own times."""
    c = np.stack((latencies(slower), latencies(slower * BURST_FACTOR)))[:, None]
    s = np.stack((latencies(1.0), latencies(BURST_FACTOR)))[:, None]
    return Arms(c, s, burst=0.02, own=own)


def clustered(at_limit: bool, releases: int, seed: int, *, by_key: bool) -> Arms:
    """Errors where KEYS keys ask by Zipf's law. `by_key`: each key has its own chance of an error, the same at both
    arms but for the limit (log-normal, sigma 1), and sticky routing gives an arm its keys for good; otherwise all keys
    have the same chance. Shares of shape (releases, 2)."""
    rng = np.random.default_rng(seed)
    traffic = 1 / np.arange(1, KEYS + 1)
    candidate = rng.random((releases, KEYS)) < 0.05
    chance = 0.005 * (rng.lognormal(-0.5, 1.0, (releases, KEYS)) if by_key else np.ones((releases, KEYS)))
    c = (candidate * traffic * chance).sum(axis=1) / (candidate * traffic).sum(axis=1) + (0.005 if at_limit else 0.0)
    s = (~candidate * traffic * chance).sum(axis=1) / (~candidate * traffic).sum(axis=1)
    return Arms(np.stack((1 - c, c), axis=1), np.stack((1 - s, s), axis=1))


@dataclass(frozen=True, slots=True)
class Detection:
    """Something that must be found: the bound in requests of the candidate, and how many bounds are allowed (0: no
    figure is promised)."""

    name: str
    test: Test
    arms: Arms
    bound: float
    allowed: float


def detections(step: Phase = STEPS[0]) -> Iterator[Detection]:
    ratio = step.stable_per_s / step.candidate_per_s
    by = {guard.name: guard for guard in guarded()}
    errors, fast = shares(0.005), latencies(1.0)
    for p, allowed in ((0.05, 1.5), (0.10, 1.5), (0.03, 1.5)):
        bound = rate_bound(p, 0.005, 0.005, ALPHA_K, ratio)
        yield Detection(f"{p:.0%} errors against 0.5 %", by["error_rate"].test, Arms(shares(p), errors), bound, allowed)
    bound = rate_bound(1.0, 0.005, 0.005, ALPHA_K, ratio)
    yield Detection("every answer an error", by["error_rate"].test, Arms(shares(1.0), errors), bound, 0)
    for q, slower, allowed in ((0.95, 1.5, 1.8), (0.95, 1.75, 1.8), (0.95, 2.0, 1.8), (0.95, 3.0, 0), (0.5, 1.5, 1.8)):
        bound = quantile_bound(slower, SIGMA, q, 1.2, ALPHA_K, ratio)
        name, arms = f"p{100 * q:g} {slower:g} times as slow, limit 1.2", Arms(latencies(slower), fast)
        yield Detection(name, latency_test(q, 1.2), arms, bound, allowed)
    bound = absolute_bound(0.06, 0.02, ALPHA_K)
    yield Detection("6 % disagree, limit 2 %", by["disagreement"].test, Arms(shares(0.06), shares(0.0)), bound, 1.5)
    constant = np.eye(len(CLASSES))[1]
    bound = rate_bound(1.0, float(CLASSES[1]), 0.1, ALPHA_K, ratio)
    yield Detection("a constant class", by["prediction_shift"].test, Arms(constant, CLASSES), bound, 0)
    bound = rate_bound(0.20, 0.10, 0.01, ALPHA_K, ratio)
    arms = Arms(shares(0.20), shares(0.10))
    yield Detection("80 % right against 90 %, limit 1 point", rate_test(Line(1, 0.01)), arms, bound, 1.5)


def detect(detection: Detection, *, releases: int, seed: int) -> Outcomes:
    return simulate(detection.arms, detection.test, ALPHA_K, releases=releases, seed=seed, steps=STEPS[:1])


def all_at_limit(releases: int, seed: int, *, same: bool = False) -> tuple[dict[str, Outcomes], float]:
    """Each guardrail's outcomes, and the share of releases that any guardrail threw out."""
    found: dict[str, Outcomes] = {}
    for index, guard in enumerate(guarded()):
        arms = guard.same if same else guard.at_limit
        found[guard.name] = simulate(
            arms, guard.test, ALPHA_K, releases=releases, seed=seed + index, margin=guard.margin
        )
    any_failed = np.any([outcomes.look > 0 for outcomes in found.values()], axis=0)
    return found, float(any_failed.mean())


def ab_declared(lift: float, releases: int, seed: int, *, looks: int = 150, times: float = 2.2) -> tuple[float, int]:
    """The share of A/B releases that ever declare a winner (the candidate, where there is a lift), looked at `looks`
    times until `times` the fixed-sample size; and that many values for each arm."""
    rng = np.random.default_rng(seed)
    per_arm = round(times * fixed_sample_size(0.70, 0.03))
    plan = AbPlan(per_arm, 0.70 * 0.30)
    counts = np.diff(np.linspace(0, per_arm, looks + 1).astype(int))
    c = rng.binomial(counts, 0.70 + lift, (releases, looks)).cumsum(axis=1)
    s = rng.binomial(counts, 0.70, (releases, looks)).cumsum(axis=1)
    n = counts.cumsum()
    declared = 0
    for release in range(releases):
        for look in range(looks):
            one, other = (Sample.of_share(int(n[look]), int(a[release, look])) for a in (c, s))
            winner = compare(plan, [(one, other)]).winner
            if winner is not Winner.OPEN:
                declared += winner is Winner.CANDIDATE or lift == 0
                break
    return declared / releases, per_arm
