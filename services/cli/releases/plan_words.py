"""What a plan will do, in sentences. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from services.shared.release.finding import limit_in_words
from services.shared.release.plan import EXTENSION, OnFail, Plan, Step, Strategy
from services.shared.release.plan_fields import duration_text


def plan_in_words(plan: Plan) -> list[str]:
    """A line for each step and each rule."""
    stable = str(plan.stable) if plan.stable else f"what {plan.model} means when it begins"
    arms = ", ".join(f"{arm.name} ({arm.ref})" for arm in plan.arms)
    lines = [f"{plan.model}: a release of strategy {plan.strategy} of {arms}, against {stable}"]
    lines += [f"  step {number}: {_step(step)}" for number, step in enumerate(plan.steps, start=1)]
    lines += [f"  then: {_then(plan)}"]
    lines += [f"  guardrail: {guardrail.metric}, {limit_in_words(guardrail)}" for guardrail in plan.guardrails]
    return lines + [f"  {line}" for line in _rules(plan)]


def _step(step: Step) -> str:
    if step.pause:
        return "waits for a person"
    what = f"{step.shadow:g} % are mirrored" if step.shadow else f"weight {step.weight:g} %"
    longest = duration_text(EXTENSION * step.for_s)
    return (
        f"{what} for {duration_text(step.for_s)} and {step.min_requests:,} requests of the candidate at least, "
        f"{longest} at most"
    )


def _then(plan: Plan) -> str:
    if plan.strategy in (Strategy.AB, Strategy.SHADOW):
        return "a person promotes an arm, or ends it"
    if not plan.hold_s:
        return "the candidate takes all and is promoted at once"
    return f"the candidate takes all; stable stays warm for {duration_text(plan.hold_s)}, and then it is promoted"


def _rules(plan: Plan) -> Iterator[str]:
    does = {OnFail.ROLLBACK: "it is rolled back", OnFail.PAUSE: "it waits for a person"}
    if not plan.guardrails:
        yield "there is no guardrail: nothing but a version that cannot be loaded stops it"
    else:
        yield f"when a guardrail fails: {does[plan.on_fail]}"
    statistical = [guardrail for guardrail in plan.guardrails if guardrail.statistical]
    if statistical:
        yield f"a candidate no worse than every limit is thrown out with a chance of {100 * plan.alpha:g} % at most"
    after = duration_text(plan.on_no_traffic.after_s)
    yield f"without a single request for {after}: {does[plan.on_no_traffic.do]}"
