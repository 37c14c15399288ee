"""The plan that a YAML or JSON text stands for, and the document of a plan. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from services.shared.errors import InvalidInput
from services.shared.model_ref import ModelRef
from services.shared.release.plan import (
    ALPHA,
    CANDIDATE,
    HOLD_S,
    MIN_REQUESTS,
    ArmPlan,
    NoTraffic,
    OnFail,
    Plan,
    Step,
    Strategy,
)
from services.shared.release.plan_document import Entry, read_document
from services.shared.release.plan_fields import (
    duration_s,
    duration_text,
    fields_of,
    items_of,
    model_name,
    model_ref,
    number,
    one_of,
    whole_number,
)
from services.shared.release.plan_guardrails import guardrail_document, guardrails_of
from services.shared.release.routing import Arm, ReleaseRouting, Sticky

_REQUIRED = ("model", "strategy")
_OPTIONAL = (
    "stable",
    "candidate",
    "arms",
    "sticky",
    "steps",
    "hold",
    "guardrails",
    "alpha",
    "on_fail",
    "on_no_traffic",
)
_MAX_STEPS = 100
_MAX_ARMS = 100
_MAX_MIN_REQUESTS = 10**9


def parse_plan(source: str | Mapping[str, Any]) -> Plan:
    """Raises InvalidPlan, which names the line (where there is a text), the field, and what to write instead."""
    top = read_document(source)
    fields = fields_of(top, _REQUIRED, _OPTIONAL)
    strategy = one_of(fields["strategy"], Strategy)
    model = model_name(fields["model"])
    stable = model_ref(fields["stable"]) if "stable" in fields else None
    sticky = one_of(fields["sticky"], Sticky) if "sticky" in fields else Sticky.KEY
    arms = _arms(top, fields, strategy, model)
    _check_other_than_stable(fields, arms, stable, strategy)
    steps = _steps(top, fields, strategy, arms)
    return Plan(
        model=model,
        strategy=strategy,
        arms=arms,
        steps=steps,
        stable=stable,
        sticky=sticky,
        hold_s=duration_s(fields["hold"], zero=True) if "hold" in fields else HOLD_S,
        guardrails=guardrails_of(fields["guardrails"], steps) if "guardrails" in fields else (),
        alpha=number(fields["alpha"], 0, 0.5, above=True) if "alpha" in fields else ALPHA,
        on_fail=one_of(fields["on_fail"], OnFail) if "on_fail" in fields else OnFail.ROLLBACK,
        on_no_traffic=_no_traffic(fields["on_no_traffic"]) if "on_no_traffic" in fields else NoTraffic(),
    )


def plan_document(plan: Plan) -> dict[str, Any]:
    """A document of JSON's types that `parse_plan` reads as the same plan."""
    document: dict[str, Any] = {"model": plan.model, "strategy": plan.strategy.value, "sticky": plan.sticky.value}
    if plan.stable is not None:
        document["stable"] = _ref_document(plan.stable)
    if plan.strategy is Strategy.AB:
        document["arms"] = {arm.name: {**_ref_document(arm.ref), "weight": arm.weight} for arm in plan.arms}
    else:
        document["candidate"] = _ref_document(plan.arms[0].ref)
    document |= {
        "steps": [_step_document(step, plan.strategy) for step in plan.steps],
        "hold": duration_text(plan.hold_s),
        "guardrails": [guardrail_document(guardrail) for guardrail in plan.guardrails],
        "alpha": plan.alpha,
        "on_fail": plan.on_fail.value,
        "on_no_traffic": {"after": duration_text(plan.on_no_traffic.after_s), "do": plan.on_no_traffic.do.value},
    }
    return document


def _arms(top: Entry, fields: Mapping[str, Entry], strategy: Strategy, model: str) -> tuple[ArmPlan, ...]:
    wanted, unwanted = ("arms", "candidate") if strategy is Strategy.AB else ("candidate", "arms")
    if unwanted in fields:
        raise fields[unwanted].refused(f"a release of strategy {strategy} has none: write {wanted}")
    if wanted not in fields:
        raise top.refused(f"{wanted} is missing: a release of strategy {strategy} needs it")
    if strategy is not Strategy.AB:
        return (ArmPlan(CANDIDATE, model_ref(fields["candidate"])),)
    entry = fields["arms"]
    if not isinstance(entry.value, dict) or not entry.value:
        raise entry.refused("write each arm as NAME: {model: digits_int8, version: 1, weight: 30}")
    if len(entry.value) > _MAX_ARMS:
        raise entry.refused(f"{len(entry.value)} arms are too many: write at most {_MAX_ARMS}")
    arms = tuple(_arm(name, child) for name, child in entry.value.items())
    try:  # what names an arm, and how much all of them may have, is the routing's to say
        ReleaseRouting(
            "plan", model, 0, bytes(16), Sticky.KEY, arms[0].ref, tuple(Arm(a.name, a.ref, a.weight) for a in arms)
        )
    except InvalidInput as error:
        raise entry.refused(error.detail) from None
    return arms


def _arm(name: str, entry: Entry) -> ArmPlan:
    fields = fields_of(entry, ("model", "version", "weight"))
    ref = model_ref(entry, optional=("weight",))
    return ArmPlan(name, ref, number(fields["weight"], 0, 100, above=True))


def _check_other_than_stable(
    fields: Mapping[str, Entry], arms: Sequence[ArmPlan], stable: ModelRef | None, strategy: Strategy
) -> None:
    # An A/B release may have stable among its arms: so a test is tested (A/A).
    if strategy is not Strategy.AB and arms[0].ref == stable:
        raise fields["candidate"].refused(f"{stable} is stable too: name another version")


def _steps(top: Entry, fields: Mapping[str, Entry], strategy: Strategy, arms: Sequence[ArmPlan]) -> tuple[Step, ...]:
    if "steps" not in fields:
        if strategy is Strategy.BLUE_GREEN:
            return ()
        raise top.refused(f"steps is missing: a release of strategy {strategy} needs it")
    entry = fields["steps"]
    children = items_of(entry, "steps, as in - {weight: 5, for: 60s}")
    if len(children) > _MAX_STEPS:
        raise entry.refused(f"{len(children)} steps are too many: write at most {_MAX_STEPS}")
    if strategy is Strategy.AB:
        if len(children) != 1:
            raise entry.refused("an A/B release has one step, as in - {for: 7d, min_requests: 10000}")
        total = min(100.0, math.fsum(arm.weight for arm in arms))
        return (_timed(children[0], weight=total, where=()),)
    steps: list[Step] = []
    for child in children:
        step = _step(child, strategy)
        before = max((earlier.weight for earlier in steps), default=0.0)
        if step.weight and step.weight <= before:
            raise child.refused(f"weight {step.weight:g} comes after {before:g}: weights rise from step to step")
        if step.shadow and before:
            raise child.refused("a shadow step comes before the first weight")
        steps.append(step)
    needed = {Strategy.CANARY: "weight", Strategy.SHADOW: "shadow"}.get(strategy)
    if needed and not any(getattr(step, needed) for step in steps):
        raise entry.refused(f"a release of strategy {strategy} has at least one step with a {needed}")
    return tuple(steps)


def _step(entry: Entry, strategy: Strategy) -> Step:
    kinds = ("shadow", "weight", "pause") if strategy is Strategy.CANARY else ("shadow", "pause")
    fields = fields_of(entry, (), ("shadow", "weight", "pause", "for", "min_requests"))
    given = [kind for kind in ("shadow", "weight", "pause") if kind in fields]
    if len(given) != 1:
        raise entry.refused(f"a step has exactly one of {', '.join(kinds)}")
    kind = given[0]
    if kind not in kinds:
        raise fields[kind].refused(f"a step of strategy {strategy} has no weight: use {' or '.join(kinds)}")
    if kind == "pause":
        fields_of(entry, ("pause",))
        if fields["pause"].value is not True:
            raise fields["pause"].refused("write pause: true, or leave the step out")
        return Step(pause=True)
    percent = number(fields[kind], 0, 100, above=True)
    if kind == "weight" and percent == 100:
        raise fields[kind].refused("weight 100 is what follows the last step, for the time of hold: leave the step out")
    if kind == "weight":
        return _timed(entry, weight=percent, where=("weight",))
    return _timed(entry, shadow=percent, where=("shadow",))


def _timed(entry: Entry, *, weight: float = 0.0, shadow: float = 0.0, where: Sequence[str]) -> Step:
    fields = fields_of(entry, (*where, "for"), ("min_requests",))
    requests = whole_number(fields["min_requests"], 1, _MAX_MIN_REQUESTS) if "min_requests" in fields else MIN_REQUESTS
    return Step(weight=weight, shadow=shadow, for_s=duration_s(fields["for"]), min_requests=requests)


def _no_traffic(entry: Entry) -> NoTraffic:
    fields = fields_of(entry, ("after", "do"))
    return NoTraffic(duration_s(fields["after"]), one_of(fields["do"], OnFail))


def _ref_document(ref: ModelRef) -> dict[str, Any]:
    return {"model": ref.name, "version": ref.version}


def _step_document(step: Step, strategy: Strategy) -> dict[str, Any]:
    if step.pause:
        return {"pause": True}
    timed = {"for": duration_text(step.for_s), "min_requests": step.min_requests}
    if strategy is Strategy.AB:
        return timed
    return {"shadow": step.shadow, **timed} if step.shadow else {"weight": step.weight, **timed}
