"""What has to be done outside so that the world is as a release's state says. Pure.

Actions follow from the state and from what was seen, not from a change: whoever looks next finds the same ones until
they are done, so nothing is lost with a controller that dies, and one that is repeated does nothing new.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from services.shared.model_ref import ModelRef
from services.shared.release.plan import Plan
from services.shared.release.state import Phase, ReleaseState, ref_of, weights_of
from services.shared.release.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen in one look. The defaults say that nothing is known, and let nothing happen by itself.

    `idle_s`: for how long no arm was asked anything (infinite: never). `desired`: the versions that every serving
    process is to have loaded; `warm`: those that every live one reports loaded and warm; `needed`: those that others
    need: other releases, and the default of any name. `load_failed`: why an arm's version cannot be loaded, empty when
    it can. `default`: what the public name means. `followed`: every live serving process routes by this very revision
    of the state, and by that default.
    """

    verdict: Verdict = field(default_factory=Verdict)
    idle_s: float = 0.0
    desired: frozenset[ModelRef] = frozenset()
    warm: frozenset[ModelRef] = frozenset()
    needed: frozenset[ModelRef] = frozenset()
    load_failed: str = ""
    default: ModelRef | None = None
    followed: bool = False


class ActionKind(enum.StrEnum):
    """LOAD puts a version into the desired set, UNLOAD takes it out; WARM has every process run it once."""

    LOAD = "load"
    WARM = "warm"
    SET_DEFAULT = "set_default"
    UNLOAD = "unload"


@dataclass(frozen=True, slots=True)
class Action:
    """One thing to do with one version; for SET_DEFAULT the plan's public name is to mean it."""

    kind: ActionKind
    ref: ModelRef


def is_warm(plan: Plan, state: ReleaseState, seen: Seen) -> bool:
    """Whether everything that the release routes to may be asked."""
    return all(ref in seen.warm for ref in _routed(plan, state))


def hold_is_over(plan: Plan, state: ReleaseState, now: float) -> bool:
    """Whether the promoted version may become the default."""
    return (
        state.phase is Phase.PROMOTING
        and not state.failed
        and state.weights == weights_of(plan, state.winner)
        and now - state.since >= plan.hold_s
    )


def actions_of(plan: Plan, state: ReleaseState, seen: Seen, now: float) -> tuple[Action, ...]:
    """In the order in which they are to be done; none for a release that is settled."""
    if state.settled:
        return ()
    actions = []
    for ref in _routed(plan, state):
        if ref not in seen.desired:
            actions.append(Action(ActionKind.LOAD, ref))
        elif ref not in seen.warm:
            actions.append(Action(ActionKind.WARM, ref))
    default = wanted_default(plan, state, seen, now)
    if default is not None and default != seen.default:
        actions.append(Action(ActionKind.SET_DEFAULT, default))
    elif state.over and seen.followed:
        actions += [Action(ActionKind.UNLOAD, ref) for ref in _left_over(plan, state, seen)]
    return tuple(actions)


def wanted_default(plan: Plan, state: ReleaseState, seen: Seen, now: float) -> ModelRef | None:
    """What the public name is to mean; None where that is not the release's to say. Taken back is only what the release
    itself may have written: a default that a person has set meanwhile stays."""
    if hold_is_over(plan, state, now):
        return ref_of(plan, state.winner)
    if state.phase in (Phase.ROLLING_BACK, Phase.ROLLED_BACK, Phase.ABORTED):
        return state.default_before if state.winner and seen.default == ref_of(plan, state.winner) else None
    return None


def is_settled(plan: Plan, state: ReleaseState, seen: Seen, now: float) -> bool:
    """Whether a release that is over leaves nothing to be done."""
    return state.over and seen.followed and not actions_of(plan, state, seen, now)


def _routed(plan: Plan, state: ReleaseState) -> tuple[ModelRef, ...]:
    """The versions that the release may send a request to, each once."""
    if state.phase in (Phase.PROMOTED, Phase.ROLLED_BACK):
        return ()
    refs = [state.stable, state.default_before]
    if state.phase not in (Phase.ROLLING_BACK, Phase.ABORTED):
        refs += [arm.ref for arm in plan.arms]
    return tuple(dict.fromkeys(refs))


def _left_over(plan: Plan, state: ReleaseState, seen: Seen) -> list[ModelRef]:
    """What the release has loaded and nobody needs any more."""
    kept = state.loaded_before | seen.needed | {state.stable, state.default_before, seen.default}
    return [ref for ref in dict.fromkeys(arm.ref for arm in plan.arms) if ref in seen.desired and ref not in kept]
