from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from services.shared.model_ref import ModelRef
from services.shared.release.ab_report import LEAST_EVENTS, ab_report
from services.shared.release.ab_test import AbPlan
from services.shared.release.arm_snapshot import ArmSnapshot
from services.shared.release.mean_evidence import Sample
from services.shared.release.observation import ArmTotals, Observation, StepTotals
from services.shared.release.plan import ArmPlan, Plan, Step, Strategy

ARMS = (ArmPlan("small", ModelRef("digits_int8", 1), 25.0), ArmPlan("large", ModelRef("digits", 2), 25.0))
SHARES = (0.5, 0.25, 0.25)
KEYS = (500.0, 250.0, 250.0)


def plan(*arms: ArmPlan, min_requests: int = 5000) -> Plan:
    return Plan("digits", Strategy.AB, arms or ARMS, (Step(weight=50.0, for_s=60, min_requests=min_requests),))


def totals(
    requests: int, failed: int = 0, labelled: int = 0, right: int = 0, rewards: Sample | None = None
) -> ArmTotals:
    snapshot = ArmSnapshot(requests=requests, errors={"InferenceFailed": failed} if failed else {})
    return ArmTotals(snapshot, labelled, right, rewards or Sample(0, 0.0, 0.0))


def look(arm: ArmTotals, stable: ArmTotals, keys: tuple[float, ...] = KEYS) -> Observation:
    return Observation((StepTotals(0, stable, arm, shares=SHARES if keys else (), keys=keys),))


def metrics(document: dict[str, Any], arm: str) -> dict[str, Any]:
    (found,) = (one for one in document["arms"] if one["arm"] == arm)
    return {metric["metric"]: metric for metric in found["metrics"]}


@pytest.mark.parametrize(
    ("metric", "arm", "stable", "winner"),
    [
        ("error_rate", totals(5000, 400), totals(5000, 100), "stable"),
        ("error_rate", totals(5000, 100), totals(5000, 400), "small"),
        ("error_rate", totals(5000, 100), totals(5000, 104), None),
        ("accuracy", totals(5000, 9, 5000, 4700), totals(5000, 9, 5000, 4300), "small"),
        ("accuracy", totals(5000, 9, 5000, 4300), totals(5000, 9, 5000, 4700), "stable"),
        (
            "reward",
            totals(5000, rewards=Sample(5000, 9000.0, 20_000.0)),
            totals(5000, rewards=Sample(5000, 8000.0, 17_000.0)),
            "small",
        ),
    ],
)
def test_each_metric_names_the_better_arm_once_there_is_evidence(
    metric: str, arm: ArmTotals, stable: ArmTotals, winner: str | None
) -> None:
    found = metrics(ab_report(plan(), {"small": look(arm, stable)}, 0.05), "small")[metric]
    assert found["winner"] == winner
    assert found["lift"] == pytest.approx(found["value"] - found["baseline_value"])
    low, high = found["interval"]
    assert low < found["lift"] < high
    assert (low > 0 or high < 0) == (found["e_value"] >= found["threshold"]) == (winner is not None)
    assert found["sentence"].startswith(f"{metric} of small against stable: ")
    assert (f"{winner} is better" if winner else "no winner yet") in found["sentence"]


def test_alpha_is_shared_by_the_arms() -> None:
    one = {"small": look(totals(5000, 160), totals(5000, 100))}
    alone = metrics(ab_report(plan(ARMS[0]), one, 0.05), "small")["error_rate"]
    among = metrics(ab_report(plan(), one, 0.05), "small")["error_rate"]
    assert (alone["threshold"], among["threshold"]) == pytest.approx((20, 40))
    assert among["interval"][0] < alone["interval"][0] < alone["interval"][1] < among["interval"][1]


def test_every_arm_of_the_plan_that_was_looked_at_is_there_in_the_plans_order() -> None:
    seen = look(totals(300, 3), totals(300, 3))
    document = ab_report(plan(), {"large": seen, "small": seen}, 0.05)
    assert [(arm["arm"], arm["ref"], arm["weight"]) for arm in document["arms"]] == [
        ("small", "digits_int8/1", 25.0),
        ("large", "digits/2", 25.0),
    ]
    assert ab_report(plan(), {}, 0.05)["arms"] == []


def test_arms_that_have_all_keys_between_them_are_compared_with_the_first() -> None:
    arms = (ArmPlan("small", ModelRef("digits_int8", 1), 30.0), ArmPlan("large", ModelRef("digits", 2), 70.0))
    seen = {"small": look(totals(5000, 400), totals(0), ()), "large": look(totals(5000, 100), totals(0), ())}
    document = ab_report(plan(*arms), seen, 0.05)
    assert (document["baseline"], document["comparisons"]) == ("small", 1)
    assert [arm["arm"] for arm in document["arms"]] == ["large"]
    found = metrics(document, "large")["error_rate"]
    assert (found["winner"], found["value"], found["baseline_value"]) == ("large", 0.02, 0.08)
    assert ab_report(plan(*arms), {}, 0.05)["arms"] == []


def test_a_metric_that_nothing_was_counted_of_is_left_out() -> None:
    document = ab_report(plan(), {"small": look(totals(300, 3), totals(300, 3))}, 0.05)
    assert list(metrics(document, "small")) == ["error_rate"]
    shadow = Observation((StepTotals(0, totals(300), totals(300), shadow=True),))
    assert metrics(ab_report(plan(), {"small": shadow}, 0.05), "small") == {}


@pytest.mark.parametrize(("errors", "early"), [(LEAST_EVENTS - 1, True), (LEAST_EVENTS, False)])
def test_a_share_of_a_few_events_is_judged_later(errors: int, early: bool) -> None:
    document = ab_report(plan(), {"small": look(totals(2000, errors), totals(2000))}, 0.05)
    found = metrics(document, "small")["error_rate"]
    assert ("too early" in found["sentence"]) is early
    assert (found["interval"] == [None, None]) is early


def test_a_wrong_split_names_no_winner() -> None:
    better = totals(5000, 100), totals(5000, 400)
    document = ab_report(plan(), {"small": look(*better, keys=(500.0, 250.0, 600.0))}, 0.05)
    assert document["sample_ratio"]["mismatch"]
    assert document["sample_ratio"]["arms"] == ["stable", "small", "large"]
    assert document["sample_ratio"]["e_value"] >= document["sample_ratio"]["threshold"] == pytest.approx(1000)
    found = metrics(document, "small")["error_rate"]
    assert found["winner"] is None
    assert "no winner is named" in found["sentence"]


def test_keys_that_are_not_split_are_not_checked() -> None:
    document = ab_report(plan(), {"small": look(totals(300), totals(300), keys=())}, 0.05)
    assert document["sample_ratio"] is None


def test_a_report_is_json_with_nothing_infinite_in_it() -> None:
    for arm in (totals(0), totals(1), totals(99, 99), totals(5000, 5000)):
        document = ab_report(plan(), {"small": look(arm, totals(300, 0, 5, 5))}, 0.05)
        assert json.loads(json.dumps(document, allow_nan=False)) == document


def test_boundaries_are_narrowest_for_what_the_plan_asks_for() -> None:
    assert ab_report(plan(min_requests=7000), {}, 0.05)["tuned_to"] == 7000
    assert ab_report(plan(min_requests=100), {}, 0.05)["tuned_to"] == 1000
    seen = {"small": look(totals(7000, 140), totals(7000, 140))}
    widths = []
    for asked in (1000, 7000, 500_000):
        low, high = metrics(ab_report(plan(min_requests=asked), seen, 0.05), "small")["error_rate"]["interval"]
        widths.append(high - low)
    assert widths[1] == min(widths)


def test_the_variance_is_the_observed_one_to_within_a_half() -> None:
    seen = {"small": look(totals(4000, 80), totals(4000, 80))}
    found = metrics(ab_report(plan(ARMS[0]), seen, 0.05), "small")["error_rate"]
    exact = AbPlan(5000, 0.02 * 0.98)
    radius = (found["interval"][1] - found["interval"][0]) / 2
    variance = 4000 * 4000 / 8000 * 0.02 * 0.98
    inner = (variance + 1 / exact.rate) * (np.log1p(variance * exact.rate) + 2 * np.log(20))
    assert radius == pytest.approx(float(np.sqrt(inner)) / 2000, rel=0.03)


def test_arms_that_are_alike_seldom_have_a_winner_at_any_of_many_looks() -> None:
    rng = np.random.default_rng(21)
    named = 0
    for _ in range(60):
        counts = np.cumsum(rng.binomial(250, 0.02, (3, 20)), axis=1)
        seen = False
        for i in range(20):
            n = 250 * (i + 1)
            stable, *arms = (totals(n, int(failed[i])) for failed in counts)
            observations = {arm.name: look(told, stable) for arm, told in zip(ARMS, arms, strict=True)}
            document = ab_report(plan(), observations, 0.05)
            seen |= any(metric["winner"] for arm in document["arms"] for metric in arm["metrics"])
        named += seen
    assert named <= 60 * 0.05 + 4 * np.sqrt(60 * 0.05 * 0.95)
