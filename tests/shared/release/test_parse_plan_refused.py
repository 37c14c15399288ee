"""Every way in which a plan is refused: the line, the field, and what to write instead."""

from __future__ import annotations

import pytest

from services.shared.release.parse_plan import parse_plan, plan_document
from services.shared.release.plan_document import InvalidPlan

CANARY = "model: m\ncandidate: {model: c, version: 2}\nstrategy: canary\nsteps:\n  - {weight: 5, for: 60s}\n"
AB = (
    "model: m\nstrategy: ab\narms:\n  a: {model: c, version: 1, weight: 30}\n"
    "  b: {model: d, version: 1, weight: 30.5}\nsteps:\n  - {for: 7d}\n"
)
SHADOW = "model: m\ncandidate: {model: c, version: 2}\nstrategy: shadow\nsteps:\n  - {shadow: 10, for: 60s}\n"
BLUE_GREEN = "model: m\ncandidate: {model: c, version: 2}\nstrategy: blue-green\n"
GUARDED = "60s}\nguardrails:\n  - "

# (what to change in which plan, with what, the line that is named, what the error says)
REFUSED = [
    (CANARY, "model: m\n", "", 1, "the plan: model is missing"),
    (CANARY, "model: m\n", "models: m\n", 1, "models: 'models' is not known here: use model, strategy, stable"),
    (CANARY, "model: m\n", "model: m/1\n", 1, "model: 'm/1' is not a model name: use 1 to 128 letters"),
    (CANARY, "model: m\n", "model: 7\n", 1, "model: 7 is not a text: write for example digits"),
    (CANARY, "model: m\n", "model: m\nmodel: m\n", 2, "'model' comes twice: write it once"),
    (CANARY, "version: 2", "version: 0", 2, "candidate.version: 0 is not a whole number from 1 to"),
    (CANARY, "version: 2", "version: 1.5", 2, "candidate.version: 1.5 is not a whole number"),
    (CANARY, "version: 2", "version: true", 2, "candidate.version: True is not a whole number"),
    (CANARY, ", version: 2", "", 2, "candidate: version is missing"),
    (CANARY, "{model: c, version: 2}", "c/2", 2, "candidate: write a mapping of model, version"),
    (
        CANARY,
        "{model: c, version: 2}",
        "{model: c, version: 2, weight: 5}",
        2,
        "candidate.weight: 'weight' is not known",
    ),
    (CANARY, "candidate: {model: c, version: 2}\n", "", 1, "candidate is missing: a release of strategy canary"),
    (
        CANARY,
        "strategy: canary",
        "strategy: canery",
        3,
        "strategy: 'canery' is not one of canary, ab, shadow, blue-green",
    ),
    (CANARY, "strategy: canary", "strategy: ab", 2, "candidate: a release of strategy ab has none: write arms"),
    (CANARY, "strategy: canary", "strategy: [canary]", 3, "strategy: a list is not one of"),
    (CANARY, "strategy: canary\n", "strategy: canary\narms: {}\n", 4, "arms: a release of strategy canary has none"),
    (CANARY, "strategy: canary\n", "strategy: canary\nstable: {model: c, version: 2}\n", 2, "c/2 is stable too"),
    (
        CANARY,
        "strategy: canary\n",
        "strategy: canary\nsticky: yes\n",
        4,
        "sticky: 'yes' is not one of key, api_key, none",
    ),
    (
        AB,
        "  b:",
        "".join(f"  a{n}: {{model: c, version: 1}}\n" for n in range(99)) + "  b:",
        3,
        "arms: 101 arms are too",
    ),
    (CANARY, "60s}\n", GUARDED + "1\n  - " * 100 + "1\n", 6, "guardrails: 101 guardrails are too many"),
    (CANARY, "steps:\n  - {weight: 5, for: 60s}\n", "", 1, "steps is missing: a release of strategy canary needs it"),
    (CANARY, "  - {weight: 5, for: 60s}\n", "  weight: 5\n", 4, "steps: write a list of steps"),
    (CANARY, "steps:\n  - {weight: 5, for: 60s}\n", "steps: []\n", 4, "has at least one step with a weight"),
    (CANARY, "weight: 5", "weight: five", 5, "steps[0].weight: 'five' is not a number: write a number above 0 to 100"),
    (CANARY, "weight: 5", "weight: 0", 5, "steps[0].weight: 0 is out of bounds: write a number above 0 to 100"),
    (CANARY, "weight: 5", "weight: 101", 5, "steps[0].weight: 101 is out of bounds"),
    (CANARY, "weight: 5", "weight: 1e999", 5, "steps[0].weight: inf is out of bounds"),
    (CANARY, "weight: 5", "weight: 100", 5, "steps[0].weight: weight 100 is what follows the last step"),
    (CANARY, "weight: 5", "weight: '5'", 5, "steps[0].weight: '5' is not a number"),
    (CANARY, "weight: 5", "weight: 5, shadow: 5", 5, "steps[0]: a step has exactly one of shadow, weight, pause"),
    (CANARY, "weight: 5, for: 60s", "weight: 5", 5, "steps[0]: for is missing"),
    (CANARY, "for: 60s", "for: 60", 5, "steps[0].for: 60 is not a duration: write it with its unit, as in 60s"),
    (CANARY, "for: 60s", "for: 60 s", 5, "steps[0].for: '60 s' is not a duration"),
    (CANARY, "for: 60s", "for: 0s", 5, "steps[0].for: 0s is out of bounds: write more than 0s to 365d"),
    (CANARY, "for: 60s", "for: 366d", 5, "steps[0].for: 366d is out of bounds"),
    (CANARY, "for: 60s", "for: 60s, min_requests: 0", 5, "steps[0].min_requests: 0 is not a whole number from 1"),
    (CANARY, "for: 60s", "for: 60s, until: 5", 5, "steps[0].until: 'until' is not known here"),
    (CANARY, "60s}\n", "60s}\n  - {weight: 5, for: 60s}\n", 6, "steps[1]: weight 5 comes after 5: weights rise"),
    (CANARY, "60s}\n", "60s}\n  - {shadow: 5, for: 60s}\n", 6, "steps[1]: a shadow step comes before the first weight"),
    (CANARY, "60s}\n", "60s}\n  - {pause: false}\n", 6, "steps[1].pause: write pause: true, or leave the step out"),
    (CANARY, "60s}\n", "60s}\n  - {pause: true, for: 1s}\n", 6, "steps[1].for: 'for' is not known here: use pause"),
    (CANARY, "60s}\n", "60s}\n  - {}\n", 6, "steps[1]: a step has exactly one of"),
    (CANARY, "60s}\n", "60s}\n  -\n", 6, "steps[1]: write a mapping of shadow, weight"),
    (CANARY, "60s}\n", "60s}\nhold: soon\n", 6, "hold: 'soon' is not a duration"),
    (CANARY, "60s}\n", "60s}\nalpha: 0\n", 6, "alpha: 0 is out of bounds: write a number above 0 to 0.5"),
    (CANARY, "60s}\n", "60s}\non_fail: ignore\n", 6, "on_fail: 'ignore' is not one of rollback, pause"),
    (CANARY, "60s}\n", "60s}\non_no_traffic: {after: 1m}\n", 6, "on_no_traffic: do is missing"),
    (
        CANARY,
        "60s}\n",
        "60s}\non_no_traffic: {after: 1m, do: promote}\n",
        6,
        "on_no_traffic.do: 'promote' is not one of",
    ),
    (CANARY, "60s}\n", "60s}\nguardrails: {metric: accuracy}\n", 6, "guardrails: write a list of guardrails"),
    (CANARY, "60s}\n", GUARDED + "{max: 1}\n", 7, "guardrails[0]: metric is missing"),
    (CANARY, "60s}\n", GUARDED + "{metric: errors, max: 1}\n", 7, "'errors' is not one of error_rate, latency_p50"),
    (CANARY, "60s}\n", GUARDED + "{metric: error_rate}\n", 7, "error_rate has exactly one limit: write max_increase"),
    (
        CANARY,
        "60s}\n",
        GUARDED + "{metric: error_rate, max: 1}\n",
        7,
        "guardrails[0].max: 'max' is not known here: use metric, max_increase",
    ),
    (
        CANARY,
        "60s}\n",
        GUARDED + "{metric: error_rate, max_increase: 5}\n",
        7,
        "max_increase: 5 is out of bounds: write a number from 0 to 1",
    ),
    (
        CANARY,
        "60s}\n",
        GUARDED + "{metric: latency_p95, max_ratio: 0.9}\n",
        7,
        "max_ratio: 0.9 is out of bounds: write a number from 1 to 1000",
    ),
    (
        CANARY,
        "60s}\n",
        GUARDED + "{metric: latency_p95, max_ratio: 1.1, looks: 3}\n",
        7,
        "looks: 'looks' is not known here",
    ),
    (CANARY, "60s}\n", GUARDED + "{metric: disagreement, max: 0.1}\n", 7, "disagreement is seen in shadow steps only"),
    (CANARY, "60s}\n", GUARDED + "{metric: promql, max: 1}\n", 7, "guardrails[0]: query is missing"),
    (
        CANARY,
        "60s}\n",
        GUARDED + "{metric: promql, max: 1, query: up}\n",
        7,
        "query: the query names no arm: write $arm",
    ),
    (
        CANARY,
        "60s}\n",
        GUARDED + "{metric: promql, max: 1, max_ratio: 1, query: up$arm}\n",
        7,
        "promql has exactly one limit",
    ),
    (
        CANARY,
        "60s}\n",
        GUARDED + "{metric: accuracy, max_decrease: 0.1}\n  - {metric: accuracy, max_decrease: 0.1}\n",
        8,
        "accuracy is guarded twice",
    ),
    (CANARY, "60s}\n", "60s\n", 6, "this is not YAML"),
    (CANARY, "model: m\n", "model: &a m\nother: *a\n", 2, "*a is an alias: write the value itself"),
    (CANARY, "model: m\n", "model: !!python/name:os.system m\n", 1, "is a tag: write the value without it"),
    (CANARY, "model: m\n", "model: m\n---\nmodel: m\n", 2, "a second document starts here"),
    (CANARY, "model: m\n", f"model: {'[' * 13}m{']' * 13}\n", 1, "nested deeper than 12"),
    (CANARY, "model: m\n", "? [model]\n: m\n", 1, "a key is a word"),
    (CANARY, "model: m\n", 'model: "\\ud83d"\n', 1, "half of a character"),
    (AB, "  a: {model: c, version: 1, weight: 30}\n", "  a: {model: c, version: 1}\n", 4, "arms.a: weight is missing"),
    (AB, "weight: 30}", "weight: 0}", 4, "arms.a.weight: 0 is out of bounds"),
    (AB, "weight: 30}", "weight: 70}", 3, "arms: the arms' weights are 100.5 together: use at most 100"),
    (AB, "  a: ", "  stable: ", 3, "arms: 'stable' cannot name an arm"),
    (AB, "  a: ", "  A: ", 3, "arms: 'A' cannot name an arm"),
    (AB, "arms:\n", "arms: []\nx:\n", 4, "x: 'x' is not known here"),
    (AB, "{for: 7d}", "{for: 7d}\n  - {for: 7d}", 6, "steps: an A/B release has one step"),
    (AB, "{for: 7d}", "{for: 7d, weight: 5}", 7, "steps[0].weight: 'weight' is not known here: use for, min_requests"),
    (
        SHADOW,
        "  - {shadow: 10, for: 60s}\n",
        "  - {weight: 10, for: 60s}\n",
        5,
        "a step of strategy shadow has no weight",
    ),
    (SHADOW, "  - {shadow: 10, for: 60s}\n", "  - {pause: true}\n", 4, "has at least one step with a shadow"),
    (BLUE_GREEN, "green\n", "green\nsteps: [{weight: 5, for: 1s}]\n", 4, "a step of strategy blue-green has no weight"),
]


@pytest.mark.parametrize(("plan", "old", "new", "line", "message"), REFUSED, ids=range(len(REFUSED)))
def test_a_plan_is_refused_with_its_line_and_what_to_write(
    plan: str, old: str, new: str, line: int, message: str
) -> None:
    assert plan.count(old) == 1
    with pytest.raises(InvalidPlan) as caught:
        parse_plan(plan.replace(old, new))
    assert message in caught.value.detail
    assert caught.value.detail.startswith(f"line {line},")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("", "the plan is empty"),
        ("# nothing\n", "the plan is empty"),
        ("- model\n", "line 1, the plan: write a mapping of model, strategy"),
        ("model: \x00\n", "the plan: this is not YAML"),
        ("a" * 70_000, "a plan has at most 65536 characters, this one has 70000"),
        ("[" * 60_000, "nested deeper than 12"),
        ("model: " + "9" * 10_000, "strategy is missing"),
        ({"model": object()}, "model: object is none of JSON's types"),
        ({1: "m"}, "the plan: a key is a word, not 1"),
        ({"model": {"a": "\ud83d"}}, "model.a: half of a character"),
        ({"model": "m", "strategy": "ab", "arms": {"a": 5}}, "arms.a: write a mapping of model, version, weight"),
        ({"model": "m", "strategy": "ab", "arms": []}, "arms: write each arm as NAME:"),
    ],
    ids=range(12),
)
def test_what_is_no_plan_at_all_is_refused(source: str, message: str) -> None:
    with pytest.raises(InvalidPlan) as caught:
        parse_plan(source)
    assert message in caught.value.detail


def test_a_value_without_text_is_named_by_its_path() -> None:
    document = plan_document(parse_plan(CANARY))
    document["steps"][0]["weight"] = 10**400
    with pytest.raises(InvalidPlan) as caught:
        parse_plan(document)
    assert caught.value.field == "steps[0].weight"
    assert caught.value.detail.startswith("steps[0].weight: 1")
