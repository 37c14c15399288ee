"""What people are told, as JSON."""

from __future__ import annotations

import json
from dataclasses import replace

from services.controller.judge import Judgement, Question, judge_many
from services.controller.report import heading_of, report_of
from services.shared.observations.base import Evidence
from services.shared.release.analysis import AnalysisState
from services.shared.release.arm_snapshot import ArmSnapshot
from services.shared.release.latency_histogram import LatencyHistogram
from services.shared.release.observation import ArmTotals, Observation, StepTotals
from services.shared.release.release_counters import ArmKey, ReleaseSnapshot
from services.shared.release.verdict import Verdict
from services.shared.release_store.base import Release
from tests.support.release_plans import ab, canary, pending
from tests.support.release_states import AT_5

PLAN = canary(guardrails=[{"metric": "error_rate", "max_increase": 0.01}])
RELEASE = Release(PLAN, replace(AT_5, cells=(3, 4)), revision=9)


def arm(requests: int, failed: int, classes: dict[int, int]) -> ArmSnapshot:
    latency = LatencyHistogram()
    for _ in range(requests - failed):
        latency.observe(0.02)
    return ArmSnapshot(requests, {"InferenceFailed": failed}, latency=latency.snapshot(), classes=classes)


STABLE_ARM, CANDIDATE_ARM = arm(100, 0, {3: 90, 8: 10}), arm(10, 1, {3: 9})
SHADOW = ArmSnapshot(
    requests=5, compared=4, differing=2, compared_by_class={3: 3, 4: 1}, differing_by_class={4: 1, 3: 1},
    largest_difference=2500, dropped=1,
)  # fmt: skip
EVIDENCE = Evidence(
    ReleaseSnapshot(
        {
            ArmKey("r-1", 0, "shadow"): SHADOW,
            ArmKey("r-1", 1, "stable"): STABLE_ARM,
            ArmKey("r-1", 1, "candidate"): CANDIDATE_ARM,
        }
    )
)


def judged() -> Judgement:
    observation = Observation((StepTotals(1, ArmTotals(STABLE_ARM), ArmTotals(CANDIDATE_ARM)),), (3, 4))
    [judgement] = judge_many([Question(PLAN, RELEASE.state, [observation], [AnalysisState()])])
    return judgement


def test_it_tells_of_the_release_its_arms_and_its_guardrails() -> None:
    report = report_of(RELEASE, judged(), EVIDENCE, 5.0)
    assert {
        name: report[name] for name in ("model", "release", "phase", "step", "steps", "weight", "revision", "at")
    } == {
        "model": "digits",
        "release": "r-1",
        "phase": "progressing",
        "step": 1,
        "steps": 5,
        "weight": 5.0,
        "revision": 9,
        "at": 5.0,
    }
    stable, candidate = report["arms"]
    assert (stable["arm"], stable["ref"], stable["weight"], stable["requests"]) == ("stable", "digits/1", 95.0, 100)
    assert stable["classes"] == {"3": 90, "4": 0, "other": 10}
    assert (candidate["arm"], candidate["errors"], candidate["error_rate"]) == ("candidate", 1, 0.1)
    assert candidate["latency_ms"]["p95"] == candidate["latency_ms"]["p50"]
    assert 19 < candidate["latency_ms"]["p50"] < 21
    [guardrail] = report["guardrails"]
    assert (guardrail["arm"], guardrail["metric"], guardrail["count_candidate"]) == ("candidate", "error_rate", 10)
    assert (guardrail["candidate"], guardrail["stable"], guardrail["threshold"]) == (0.1, 0.0, 20.0)
    assert guardrail["sentence"] in report["verdict"]["reason"]
    assert report["ab"] is None


def test_it_tells_what_a_shadow_answered_otherwise() -> None:
    shadow = report_of(RELEASE, judged(), EVIDENCE, 5.0)["shadow"]
    assert shadow == {
        "requests": 5,
        "errors": 0,
        "dropped": 1,
        "compared": 4,
        "differing": 2,
        "by_class": [{"class": 3, "compared": 3, "differing": 1}, {"class": 4, "compared": 1, "differing": 1}],
        "largest_difference": 0.25,
    }


def test_nothing_known_is_null_and_the_whole_is_json() -> None:
    empty = Judgement(Verdict(), (AnalysisState(),))
    report = report_of(RELEASE, empty, Evidence(), 5.0)
    assert report["arms"][0]["error_rate"] is None
    assert report["arms"][0]["latency_ms"] == {"p50": None, "p95": None, "p99": None}
    assert (report["guardrails"], report["shadow"]) == ([], None)
    for each in (report, report_of(RELEASE, judged(), EVIDENCE, 5.0), heading_of(RELEASE, 5.0)):
        assert json.loads(json.dumps(each, allow_nan=False)) == each


def test_the_numbers_of_a_candidate_that_was_taken_back_are_those_that_spoke_against_it() -> None:
    rolled_back = replace(RELEASE, state=replace(RELEASE.state, weights=(0.0,)))
    report = report_of(rolled_back, judged(), EVIDENCE, 5.0)
    assert [(arm["weight"], arm["requests"]) for arm in report["arms"]] == [(100.0, 100), (0.0, 10)]


def test_it_compares_the_arms_of_an_ab_release_and_has_no_such_thing_of_others() -> None:
    assert report_of(RELEASE, judged(), EVIDENCE, 5.0)["ab"] is None
    plan = ab()
    release = Release(plan, replace(pending(plan), step=0), revision=1)
    observations = [Observation((StepTotals(0, ArmTotals(STABLE_ARM), ArmTotals(CANDIDATE_ARM)),))] * len(plan.arms)
    [judgement] = judge_many([Question(plan, release.state, observations, [AnalysisState()] * len(plan.arms))])
    found = report_of(release, judgement, EVIDENCE, 5.0)["ab"]
    assert (found["baseline"], [each["arm"] for each in found["arms"]]) == ("fast", ["big"])
    assert found["arms"][0]["metrics"][0]["metric"] == "error_rate"
    before = Judgement(Verdict(), (AnalysisState(),) * len(plan.arms))
    assert report_of(release, before, EVIDENCE, 5.0)["ab"] is None
