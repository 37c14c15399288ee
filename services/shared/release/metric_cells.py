"""A metric's counts of an arm, in cells that only grow: what the e-processes are fed. Pure."""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import repeat

from services.shared.release.observation import ArmTotals, StepTotals
from services.shared.release.plan import DISAGREEMENT

ERROR_RATE, ACCURACY, PREDICTION_SHIFT, REWARD = "error_rate", "accuracy", "prediction_shift", "reward"
_LATENCY = re.compile(r"latency_p([1-9][0-9]?)")


@lru_cache(maxsize=256)
def quantile_of(metric: str) -> float | None:
    """0.95 for latency_p95; None of another metric."""
    found = _LATENCY.fullmatch(metric)
    return int(found[1]) / 100 if found else None


def applies(metric: str, step: StepTotals) -> bool:
    """Whether a step says something about a metric: mirrored answers are compared with stable's, and nothing else, as
    they are served last; live ones have none to be compared with."""
    if metric == PREDICTION_SHIFT:
        return True
    return step.shadow == (metric == DISAGREEMENT)


def cells_of(metric: str, arm: ArmTotals, classes: tuple[int, ...]) -> tuple[int, ...]:
    """(good, bad) of a rate; the buckets of a latency; answers by class and the others of prediction_shift."""
    snapshot = arm.snapshot
    if metric == ERROR_RATE:
        failed = snapshot.failed
        return snapshot.requests - failed, failed
    if metric == DISAGREEMENT:
        return snapshot.compared - snapshot.differing, snapshot.differing
    if metric == ACCURACY:
        return arm.right, arm.labelled - arm.right
    if metric == PREDICTION_SHIFT:
        counted = tuple(map(snapshot.classes.get, classes, repeat(0)))
        return *counted, snapshot.classified - sum(counted)
    return snapshot.latency.counts
