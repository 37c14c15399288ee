"""The changes that a release's state can make; `commands.py` and `advance.py` say when. Pure.

None of them raises a weight of a release that has failed, and `enter` and `take_all` are the only ones that raise any.
"""

from __future__ import annotations

from dataclasses import replace

from services.shared.release.plan import CANDIDATE, Plan, Strategy
from services.shared.release.state import Phase, ReleaseState, weights_of


def enter(plan: Plan, state: ReleaseState, step: int, now: float) -> ReleaseState:
    """The step with this index, or what comes after the last one. Not for a release that has failed."""
    if step >= len(plan.steps):
        return _after_the_last(plan, state, now)
    planned = plan.steps[step]
    number = f"step {step + 1} of {len(plan.steps)}"
    if planned.pause:
        why = f"{number} waits for a person: resume goes on, promote takes all"
        return replace(state, phase=Phase.PAUSED, step=step, since=now, reason=why)
    if planned.shadow:
        return replace(
            state,
            phase=Phase.SHADOWING,
            step=step,
            since=now,
            weights=(0.0,) * len(plan.arms),
            shadow=planned.shadow,
            reason=f"{number}: {planned.shadow:g} % are mirrored",
        )
    weights = tuple(arm.weight for arm in plan.arms) if plan.strategy is Strategy.AB else (planned.weight,)
    reason = f"{number}: weight {planned.weight:g}"
    return replace(state, phase=Phase.PROGRESSING, step=step, since=now, weights=weights, shadow=0.0, reason=reason)


def promote(state: ReleaseState, winner: str, now: float, reason: str) -> ReleaseState:
    """All for one arm, as soon as it is warm."""
    return replace(state, phase=Phase.PROMOTING, winner=winner, since=now, reason=reason)


def take_all(plan: Plan, state: ReleaseState, now: float) -> ReleaseState:
    """Weight 100 for the winner; the hold begins. Not for a release that has failed."""
    reason = f"{state.winner} answers everything; stable stays warm for {plan.hold_s:g} s"
    return replace(
        state, step=len(plan.steps), weights=weights_of(plan, state.winner), shadow=0.0, since=now, reason=reason
    )


def pause(state: ReleaseState, reason: str, *, failed: bool = False) -> ReleaseState:
    """What is in force stays in force."""
    return replace(state, phase=Phase.PAUSED, reason=reason, failed=state.failed or failed)


def roll_back(state: ReleaseState, now: float, reason: str, *, failed: bool = False) -> ReleaseState:
    """One write takes every arm's weight away."""
    failed = state.failed or failed
    return replace(_without_weight(state), phase=Phase.ROLLING_BACK, since=now, reason=reason, failed=failed)


def abort(state: ReleaseState, now: float, reason: str) -> ReleaseState:
    return replace(_without_weight(state), phase=Phase.ABORTED, since=now, reason=reason)


def _after_the_last(plan: Plan, state: ReleaseState, now: float) -> ReleaseState:
    if plan.strategy in (Strategy.CANARY, Strategy.BLUE_GREEN):
        return promote(state, CANDIDATE, now, "every step is done; the candidate takes all as soon as it is warm")
    reason = "every step is done: a person promotes an arm, or ends the release"
    return replace(state, phase=Phase.PAUSED, step=len(plan.steps), since=now, reason=reason)


def _without_weight(state: ReleaseState) -> ReleaseState:
    return replace(state, weights=(0.0,) * len(state.weights), shadow=0.0)
