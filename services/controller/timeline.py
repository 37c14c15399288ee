"""A release's timeline: what each arm did between two points. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from services.shared.observations.base import Evidence, Point, PointArm
from services.shared.release.latency_histogram import BUCKETS, LatencySnapshot
from services.shared.release.routing import STABLE
from services.shared.release.state import ReleaseState
from services.shared.release_store.base import Release

LEAST_S = 2.0  # between two points
_POINTS = 500  # about so many, however long a release lasts


@dataclass(frozen=True, slots=True)
class Counted:
    """An arm's totals over all steps."""

    requests: int = 0
    errors: int = 0
    latency: tuple[int, ...] = (0,) * BUCKETS


def apart_s(state: ReleaseState, now: float) -> float:
    """How far apart points are to be; `now` in Unix seconds."""
    return max(LEAST_S, (now - state.created_at) / _POINTS)


def counted(evidence: Evidence) -> dict[str, Counted]:
    """By arm."""
    found: dict[str, Counted] = {}
    for key, snapshot in evidence.totals.arms.items():
        before = found.get(key.arm, Counted())
        latency = np.add(before.latency, snapshot.latency.counts)
        found[key.arm] = Counted(
            before.requests + snapshot.requests, before.errors + snapshot.failed, tuple(latency.tolist())
        )
    return found


def point_of(release: Release, now: float, before: Mapping[str, Counted], after: Mapping[str, Counted]) -> Point:
    """The time from one count to the next. What a process took with it when it died makes no number negative."""
    plan, state = release.plan, release.state
    weights = {arm.name: weight for arm, weight in zip(plan.arms, state.weights, strict=True)}
    return Point(
        at=now,
        step=state.step,
        phase=state.phase.value,
        weights={STABLE: 100.0 - state.weight, **weights},
        arms={name: _between(before.get(name, Counted()), totals) for name, totals in after.items()},
    )


def _between(before: Counted, after: Counted) -> PointArm:
    counts = np.maximum(np.subtract(after.latency, before.latency), 0)
    latency = LatencySnapshot(tuple(counts.tolist()))
    p50, p95, p99 = (latency_ms(latency, q) for q in (0.5, 0.95, 0.99))
    return PointArm(max(after.requests - before.requests, 0), max(after.errors - before.errors, 0), p50, p95, p99)


def latency_ms(latency: LatencySnapshot, q: float) -> float:
    """To a hundredth of a millisecond; NaN of no values."""
    milliseconds = 1000 * latency.quantile_s(q)
    return milliseconds if math.isnan(milliseconds) else round(milliseconds, 2)
