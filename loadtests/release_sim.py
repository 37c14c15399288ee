"""What release control promises, simulated: python -m loadtests.release_sim --releases 2000

Every release runs 8 minutes (5 % for 60 s, 25 % for 120 s, 50 % for 300 s of 200 requests a second) and is looked at
every second. Exits with 1 when a promise is not kept.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from rich.console import Console
from rich.table import Table

from loadtests.release_scenarios import (
    ALPHA,
    ALPHA_K,
    Guarded,
    ab_declared,
    all_at_limit,
    also_guarded,
    bursty,
    clustered,
    detect,
    detections,
    guarded,
    narrower,
    rewards_failed,
)
from loadtests.release_world import STEPS, Arms, simulate

IDENTICAL = 0.005  # of the releases of a candidate that is like stable may be thrown out


@dataclass(frozen=True, slots=True)
class Row:
    """`kept` None: no figure is promised."""

    section: str
    what: str
    figure: str
    promised: str
    kept: bool | None


def share_row(section: str, what: str, share: float, most: float, *, promised: bool = True) -> Row:
    return Row(
        section, what, f"{share:.2%}", f"≤ {most:.2%}" if promised else "none", share <= most if promised else None
    )


def false_rollbacks(releases: int, seed: int, *, peeking: bool = False) -> Iterator[Row]:
    """`peeking`: a z-test that is looked at as often takes the place of the e-process of the error rate."""
    at_limit, any_failed = all_at_limit(releases, seed)
    z_failed = float((at_limit["error_rate"].z_look > 0).mean())
    for name, outcomes in at_limit.items():
        z_test = peeking and name == "error_rate"
        yield share_row("at the limit", name, z_failed if z_test else float((outcomes.look > 0).mean()), ALPHA_K)
    yield share_row("at the limit", "all guardrails together", any_failed, ALPHA)
    for index, guard in enumerate(also_guarded()):
        outcomes = simulate(guard.at_limit, guard.test, ALPHA_K, releases=releases, seed=seed + 10 + index)
        yield share_row("at the limit", guard.name, float((outcomes.look > 0).mean()), ALPHA_K)
    yield share_row("at the limit", "reward (asymptotic)", rewards_failed(0.1, releases, seed + 20), ALPHA_K)
    _, any_failed = all_at_limit(releases, seed + 100, same=True)
    yield share_row("identical arms", "all guardrails together", any_failed, IDENTICAL)
    caught = share_row("a peeking z-test", "error_rate, at the limit", z_failed, ALPHA_K).kept is False
    yield Row(
        "a peeking z-test", "error_rate, at the limit", f"{z_failed:.2%}", f"> {ALPHA_K:.2%}: must be caught", caught
    )


def correlated(releases: int, seed: int) -> Iterator[Row]:
    error, latency = guarded()[:2]

    def failed(guard: Guarded, arms: Arms) -> float:
        steps = STEPS if guard is latency else STEPS[:1]
        return float((simulate(arms, guard.test, ALPHA_K, releases=releases, seed=seed, steps=steps).look > 0).mean())

    for at_limit, where in ((True, "at the limit"), (False, "identical")):
        most = ALPHA_K if at_limit else IDENTICAL
        for by_key, of in ((False, "alike"), (True, "each with its own error rate")):
            arms = clustered(at_limit, releases, seed, by_key=by_key)
            yield share_row("Zipf keys", f"{of}, {where}", failed(error, arms), most, promised=not by_key)
    yield share_row("latency bursts", "of both arms, at the limit", failed(latency, bursty(False)), ALPHA_K)
    yield share_row(
        "latency shape", "half the spread, p95 at the limit", failed(latency, narrower()), ALPHA_K, promised=False
    )
    for slower, where in ((1.2, "at the limit"), (1.0, "identical")):
        own = failed(latency, bursty(True, slower))
        yield share_row("latency bursts", f"of each arm by itself, {where}", own, ALPHA_K, promised=False)


def detected(releases: int, seed: int) -> Iterator[Row]:
    for detection in detections():
        outcomes = detect(detection, releases=releases, seed=seed)
        median = float(np.median(np.where(outcomes.look > 0, outcomes.requests, np.inf)))
        figure = f"{median:,.0f} requests, {median / detection.bound:.2f} x {detection.bound:,.0f}"
        promised = f"≤ {detection.allowed:g} x" if detection.allowed else "none"
        kept = median <= detection.allowed * detection.bound if detection.allowed else None
        yield Row("detection, median", detection.name, figure, promised, kept)


def ab_tests(releases: int, seed: int) -> Iterator[Row]:
    power, per_arm = ab_declared(0.03, releases, seed)
    what = f"3 points on 70 %, {per_arm:,} values for each arm (2.2 x)"
    yield Row("A/B", what, f"{power:.1%}", "≥ 80 %", power >= 0.8)
    false, _ = ab_declared(0.0, releases, seed + 1)
    yield share_row("A/B", "no lift, any winner declared", false, ALPHA)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--releases", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--peeking-z-test", action="store_true", help="in the place of one guardrail: exits with 1")
    arguments = parser.parse_args()
    table = Table("", "", "simulated", "promised", "kept")
    rows: list[Row] = []
    rollbacks = partial(false_rollbacks, peeking=arguments.peeking_z_test)
    for part in (rollbacks, correlated, detected, ab_tests):
        for row in part(arguments.releases, arguments.seed):
            rows.append(row)
            kept = "" if row.kept is None else "yes" if row.kept else "NO"
            table.add_row(row.section, row.what, row.figure, row.promised, kept)
    Console(width=120).print(table)
    sys.exit(any(row.kept is False for row in rows))


if __name__ == "__main__":
    main()
