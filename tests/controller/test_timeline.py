"""Points of a timeline: what happened between two counts."""

from __future__ import annotations

import math
from dataclasses import replace

from services.controller.timeline import LEAST_S, apart_s, counted, point_of
from services.shared.observations.base import Evidence
from services.shared.release.arm_snapshot import ArmSnapshot
from services.shared.release.latency_histogram import LatencyHistogram
from services.shared.release.release_counters import ArmKey, ReleaseSnapshot
from services.shared.release_store.base import Release
from tests.support.release_plans import START
from tests.support.release_states import AT_5, CANARY

RELEASE = Release(CANARY, AT_5)


def totals(step: int, *latencies_s: float, failed: int = 0) -> dict[ArmKey, ArmSnapshot]:
    latency = LatencyHistogram()
    for latency_s in latencies_s:
        latency.observe(latency_s)
    snapshot = ArmSnapshot(len(latencies_s) + failed, {"x": failed}, latency=latency.snapshot())
    return {ArmKey("r-1", step, "stable"): snapshot}


def test_a_point_tells_of_the_time_since_the_last_over_all_steps() -> None:
    before = counted(Evidence(ReleaseSnapshot(totals(0, 0.5, 0.5, failed=1))))
    after = counted(Evidence(ReleaseSnapshot({**totals(0, 0.5, 0.5, 0.01, failed=2), **totals(1, 0.01)})))
    point = point_of(RELEASE, 7.0, before, after)
    assert (point.at, point.step, point.phase) == (7.0, 1, "progressing")
    assert point.weights == {"stable": 95.0, "candidate": 5.0}
    stable = point.arms["stable"]
    assert (stable.requests, stable.errors) == (3, 1)
    assert 9.5 < stable.p50_ms <= stable.p99_ms < 10.5  # not the slow ones of before


def test_totals_that_a_process_took_with_it_make_nothing_negative() -> None:
    many, few = (counted(Evidence(ReleaseSnapshot(totals(0, *[0.01] * count)))) for count in (5, 2))
    stable = point_of(RELEASE, 7.0, many, few).arms["stable"]
    assert (stable.requests, stable.errors) == (0, 0)
    assert math.isnan(stable.p50_ms)


def test_points_lie_further_apart_the_longer_it_lasts() -> None:
    state = replace(AT_5, created_at=START)
    assert apart_s(state, START) == LEAST_S
    assert apart_s(state, START + 500_000) == 1000
