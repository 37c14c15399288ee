"""A plan that is read, and every way in which one is refused."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.shared.model_ref import ModelRef
from services.shared.release.parse_plan import parse_plan, plan_document
from services.shared.release.plan import (
    LIMITS_OF,
    PROMQL,
    ArmPlan,
    Guardrail,
    NoTraffic,
    OnFail,
    Plan,
    Step,
    Strategy,
)
from services.shared.release.plan_document import InvalidPlan
from services.shared.release.routing import Sticky

WHOLE = r"""
model: digits                     # the public name
stable:    {model: digits, version: 1}
candidate: {model: digits_int8, version: 1}
strategy:  canary
sticky: api_key
steps:
  - {shadow: 100, for: 60s, min_requests: 200}
  - {weight: 5,  for: 60s, min_requests: 500}
  - {weight: 25, for: 2m}
  - {weight: 50, for: 1.5h}
  - {pause: true}
hold: 30m
guardrails:
  - {metric: error_rate,    max_increase: 0.005}
  - {metric: latency_p95,   max_ratio: 1.2}
  - {metric: disagreement,  max: 0.02}
  - {metric: prediction_shift, max: 0.1}
  - {metric: accuracy, max_decrease: 1e-2}
  - {metric: promql, query: "sum(up{arm=\"$arm\"})", max_ratio: 1.1, looks: 3}
alpha: 0.05
on_fail: pause
on_no_traffic: {after: 10m, do: rollback}
"""
CANARY = "model: m\ncandidate: {model: c, version: 2}\nstrategy: canary\nsteps:\n  - {weight: 5, for: 60s}\n"
AB = (
    "model: m\nstrategy: ab\narms:\n  a: {model: c, version: 1, weight: 30}\n"
    "  b: {model: d, version: 1, weight: 30.5}\nsteps:\n  - {for: 7d}\n"
)
BLUE_GREEN = "model: m\ncandidate: {model: c, version: 2}\nstrategy: blue-green\n"


def test_the_whole_plan_is_read() -> None:
    assert parse_plan(WHOLE) == Plan(
        model="digits",
        strategy=Strategy.CANARY,
        arms=(ArmPlan("candidate", ModelRef("digits_int8", 1)),),
        steps=(
            Step(shadow=100, for_s=60, min_requests=200),
            Step(weight=5, for_s=60, min_requests=500),
            Step(weight=25, for_s=120),
            Step(weight=50, for_s=5400),
            Step(pause=True),
        ),
        stable=ModelRef("digits", 1),
        sticky=Sticky.API_KEY,
        hold_s=1800,
        guardrails=(
            Guardrail("error_rate", max_increase=0.005),
            Guardrail("latency_p95", max_ratio=1.2),
            Guardrail("disagreement", max=0.02),
            Guardrail("prediction_shift", max=0.1),
            Guardrail("accuracy", max_decrease=0.01),
            Guardrail("promql", max_ratio=1.1, query='sum(up{arm="$arm"})', looks=3),
        ),
        alpha=0.05,
        on_fail=OnFail.PAUSE,
        on_no_traffic=NoTraffic(600, OnFail.ROLLBACK),
    )


def test_a_short_plan_has_defaults() -> None:
    plan = parse_plan(CANARY)
    assert (plan.stable, plan.sticky, plan.hold_s, plan.guardrails, plan.alpha) == (None, Sticky.KEY, 1800, (), 0.05)
    assert (plan.on_fail, plan.on_no_traffic) == (OnFail.ROLLBACK, NoTraffic(1800, OnFail.PAUSE))
    assert plan.steps == (Step(weight=5, for_s=60, min_requests=100),)


def test_an_ab_plan_has_named_arms_in_their_order_and_one_step() -> None:
    plan = parse_plan(AB)
    assert plan.arms == (ArmPlan("a", ModelRef("c", 1), 30), ArmPlan("b", ModelRef("d", 1), 30.5))
    assert plan.steps == (Step(weight=60.5, for_s=7 * 86_400, min_requests=100),)


def test_a_blue_green_plan_needs_no_steps() -> None:
    assert parse_plan(BLUE_GREEN).steps == ()
    assert parse_plan(BLUE_GREEN + "steps: [{shadow: 50, for: 1m}, {pause: true}]").steps == (
        Step(shadow=50, for_s=60),
        Step(pause=True),
    )


def test_json_with_tabs_escapes_and_halves_of_characters_is_the_same_schema() -> None:
    as_yaml = parse_plan(WHOLE)
    document = plan_document(as_yaml)
    assert parse_plan(json.dumps(document, indent="\t").replace("/", "\\/")) == as_yaml
    assert parse_plan(document) == as_yaml
    odd = CANARY + 'guardrails: [{metric: promql, query: "\\ud83d\\ude00 $arm", max: 1}]'
    assert parse_plan(odd).guardrails[0].query == "\N{GRINNING FACE} $arm"


seconds = st.integers(1, 10**7).map(lambda milliseconds: milliseconds / 1000)
refs = st.builds(ModelRef, st.sampled_from(["a", "b.c", "d_e"]), st.integers(1, 2**63 - 1))


@st.composite
def guardrails(draw: st.DrawFn, shadowed: bool) -> tuple[Guardrail, ...]:
    metrics = [metric for metric in LIMITS_OF if shadowed or metric != "disagreement"]
    made = []
    for metric in draw(st.lists(st.sampled_from(metrics), unique=True)):
        limit = draw(st.sampled_from(LIMITS_OF[metric]))
        value = draw(st.floats(1, 1000) if limit == "max_ratio" else st.floats(0, 1))
        own = {
            "query": draw(st.text(st.characters(exclude_categories=["Cs"]))) + "$arm",
            "looks": draw(st.integers(1, 9)),
        }
        made.append(Guardrail(metric, **{limit: value}, **(own if metric == PROMQL else {})))  # type: ignore[arg-type]
    return tuple(made)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    strategy = draw(st.sampled_from(Strategy))
    timed = {"for_s": draw(seconds), "min_requests": draw(st.integers(1, 10**6))}
    shadow, pause = Step(shadow=draw(st.floats(1, 100)), **timed), Step(pause=True)  # type: ignore[arg-type]
    weights = sorted(draw(st.sets(st.floats(1, 99), min_size=1, max_size=5)))
    arms: tuple[ArmPlan, ...] = (ArmPlan("candidate", draw(refs)),)
    steps = {
        Strategy.CANARY: (shadow, *(Step(weight=weight, **timed) for weight in weights), pause),  # type: ignore[arg-type]
        Strategy.SHADOW: (shadow, pause),
        Strategy.BLUE_GREEN: (shadow, pause),
        Strategy.AB: (Step(weight=75.0, **timed),),  # type: ignore[arg-type]
    }[strategy]
    if strategy is Strategy.AB:
        arms = (ArmPlan("x", draw(refs), 25.0), ArmPlan("a", draw(refs), 50.0))
    return Plan(
        model="digits",
        strategy=strategy,
        arms=arms,
        steps=steps,
        stable=draw(st.none() | st.just(ModelRef("stable", 1))),
        sticky=draw(st.sampled_from(Sticky)),
        hold_s=draw(st.just(0.0) | seconds),
        guardrails=draw(guardrails(strategy is not Strategy.AB)),
        alpha=draw(st.floats(0.001, 0.5)),
        on_fail=draw(st.sampled_from(OnFail)),
        on_no_traffic=NoTraffic(draw(seconds), draw(st.sampled_from(OnFail))),
    )


@given(plans())
def test_a_plans_document_is_read_as_the_same_plan(plan: Plan) -> None:
    document = plan_document(plan)
    assert parse_plan(document) == plan
    assert parse_plan(json.dumps(document)) == plan


@given(st.text(max_size=200))
def test_no_text_does_anything_else_than_be_refused(text: str) -> None:
    with pytest.raises(InvalidPlan):
        parse_plan(text)
