"""What becomes of a release after one look at it: its next state, what is to be done, what is to be logged. Pure.

The order of the rules: a failure, then a person's command, then what happens by itself. So nobody promotes what has
just failed. The state that is returned is the one that was given where nothing changes; then nothing is to be written.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from services.shared.release.actions import Action, Seen, actions_of, hold_is_over, is_settled, is_warm
from services.shared.release.commands import Command, obey
from services.shared.release.plan import EXTENSION, OnFail, Plan
from services.shared.release.state import Phase, ReleaseState, ref_of, weights_of
from services.shared.release.transitions import enter, pause, roll_back, take_all
from services.shared.release.verdict import Outcome

CONTROLLER = "controller"


@dataclass(frozen=True, slots=True)
class Event:
    """A line of the audit log: who or what changed a release, when (Unix seconds), from what to what, and why. `step`
    and `weight` are those after it."""

    at: float
    release: str
    by: str
    before: Phase | None
    phase: Phase
    step: int
    weight: float
    why: str


@dataclass(frozen=True, slots=True)
class Advanced:
    """`state` is to be written (when it is another one) together with `event`, and only then are `actions` to be done.
    `refused` says why a command changes nothing, empty otherwise."""

    state: ReleaseState
    actions: tuple[Action, ...] = ()
    event: Event | None = None
    refused: str = ""


def advance(plan: Plan, state: ReleaseState, seen: Seen, command: Command | None, now: float) -> Advanced:
    """Total over every phase, verdict and command; makes one change at most (and a failure before a command). `now` in
    Unix seconds; a clock that went back makes it wait, no more."""
    after, by, refused = _failed(plan, state, seen, now), CONTROLLER, ""
    if command is not None:
        obeyed = obey(plan, after, command, warm=is_warm(plan, after, seen), now=now)
        by = command.by if obeyed.state is not after else by
        after, refused = obeyed.state, obeyed.refused
    elif after is state:
        after = _BY_ITSELF[state.phase](plan, state, seen, now)
    event = None
    if after is not state and after != replace(state, settled=True):
        event = Event(now, state.release, by, state.phase, after.phase, after.step, after.weight, after.reason)
    if after is not state:
        seen = replace(seen, followed=False)  # nobody routes yet by what is yet to be written
    return Advanced(after, actions_of(plan, after, seen, now), event, refused)


def begun(state: ReleaseState, by: str) -> Event:
    """The first line of a release's log."""
    return Event(state.created_at, state.release, by, None, state.phase, state.step, state.weight, state.reason)


def _failed(plan: Plan, state: ReleaseState, seen: Seen, now: float) -> ReleaseState:
    """After a failure, which counts once, and from then on holds every weight down."""
    if state.failed or state.over or state.phase is Phase.ROLLING_BACK:
        return state
    if not seen.load_failed and seen.verdict.outcome is not Outcome.FAIL:
        return state
    reason = seen.load_failed or seen.verdict.reason
    # Before anybody is let in there is nothing to look at, and so nothing to pause for.
    if plan.on_fail is OnFail.ROLLBACK or state.phase is Phase.PENDING:
        return roll_back(state, now, reason, failed=True)
    if state.phase is Phase.PROMOTING:
        return replace(state, failed=True, reason=f"{reason}; it stays as it is until a person rolls it back")
    return pause(state, reason, failed=True)


def _pending(plan: Plan, state: ReleaseState, seen: Seen, now: float) -> ReleaseState:
    return enter(plan, state, 0, now) if is_warm(plan, state, seen) else state


def _in_a_step(plan: Plan, state: ReleaseState, seen: Seen, now: float) -> ReleaseState:
    step, verdict = plan.steps[state.step], seen.verdict
    elapsed_s = now - state.since
    if verdict.mismatch:
        return pause(state, verdict.reason)
    if min(seen.idle_s, elapsed_s) >= plan.on_no_traffic.after_s:
        reason = f"no arm was asked anything for {plan.on_no_traffic.after_s:g} s"
        if plan.on_no_traffic.do is OnFail.ROLLBACK:
            return roll_back(state, now, reason)
        return pause(state, reason)
    if verdict.outcome is Outcome.PASS and elapsed_s >= step.for_s and is_warm(plan, state, seen):
        return enter(plan, state, state.step + 1, now)
    if elapsed_s >= EXTENSION * step.for_s:
        why = "a version is not warm everywhere" if verdict.outcome is Outcome.PASS else verdict.reason
        return pause(state, f"the step has not passed within {EXTENSION} times its {step.for_s:g} s: {why}")
    return state


def _unchanged(_plan: Plan, state: ReleaseState, _seen: Seen, _now: float) -> ReleaseState:
    return state


def _promoting(plan: Plan, state: ReleaseState, seen: Seen, now: float) -> ReleaseState:
    if state.failed:
        return state
    if state.weights != weights_of(plan, state.winner):
        return take_all(plan, state, now) if is_warm(plan, state, seen) else state
    winner = ref_of(plan, state.winner)
    if hold_is_over(plan, state, now) and seen.default == winner and seen.followed:
        return replace(state, phase=Phase.PROMOTED, since=now, reason=f"{winner} is what {plan.model} means now")
    return state


def _rolling_back(plan: Plan, state: ReleaseState, seen: Seen, now: float) -> ReleaseState:
    if not seen.followed or actions_of(plan, state, seen, now):
        return state
    return replace(state, phase=Phase.ROLLED_BACK, since=now)


def _settling(plan: Plan, state: ReleaseState, seen: Seen, now: float) -> ReleaseState:
    return replace(state, settled=True) if not state.settled and is_settled(plan, state, seen, now) else state


_Rule = Callable[[Plan, ReleaseState, Seen, float], ReleaseState]
_BY_ITSELF: dict[Phase, _Rule] = {
    Phase.PENDING: _pending,
    Phase.SHADOWING: _in_a_step,
    Phase.PROGRESSING: _in_a_step,
    Phase.PAUSED: _unchanged,
    Phase.PROMOTING: _promoting,
    Phase.PROMOTED: _settling,
    Phase.ROLLING_BACK: _rolling_back,
    Phase.ROLLED_BACK: _settling,
    Phase.ABORTED: _settling,
}
