"""Where a release is: what is stored about it besides its plan, and the routing that follows from both. Pure."""

from __future__ import annotations

import enum
import math
from collections.abc import Collection
from dataclasses import dataclass

from services.shared.errors import InvalidInput
from services.shared.model_ref import ModelRef
from services.shared.release.plan import Plan, Strategy
from services.shared.release.routing import Arm, ReleaseRouting, Shadow


class Phase(enum.StrEnum):
    """pending → shadowing → progressing → promoting → promoted; paused ⇄ shadowing or progressing; from whatever is not
    over → rolling_back → rolled_back, or → aborted when a person ends it."""

    PENDING = "pending"  # the versions are being loaded; nobody is let in
    SHADOWING = "shadowing"
    PROGRESSING = "progressing"
    PAUSED = "paused"  # what is in force stays in force
    PROMOTING = "promoting"  # weight 100 until the hold ends
    PROMOTED = "promoted"
    ROLLING_BACK = "rolling_back"  # weight 0, until every process routes so
    ROLLED_BACK = "rolled_back"
    ABORTED = "aborted"


OVER = frozenset({Phase.PROMOTED, Phase.ROLLED_BACK, Phase.ABORTED})


@dataclass(frozen=True, slots=True)
class ReleaseState:
    """`weights` (percentages, one for each arm of the plan) and `shadow` are what is in force. Times in Unix seconds.

    `step` is the index into the plan's steps, their number when all are done; `since` is when it, or the hold, began to
    count. `stable` and `default_before` are what answers at weight 0 and what the public name meant before.
    `loaded_before` are those of the release's versions that were loaded without it. `failed`: a guardrail has failed,
    and no weight rises any more. `winner` is the arm that is promoted. `settled`: nothing is left to be done for a
    release that is over. `reason` says in a sentence why it is where it is.
    """

    release: str
    phase: Phase
    stable: ModelRef
    default_before: ModelRef
    salt: bytes
    weights: tuple[float, ...]
    created_at: float
    since: float
    reason: str
    shadow: float = 0.0
    step: int = 0
    loaded_before: frozenset[ModelRef] = frozenset()
    failed: bool = False
    winner: str = ""
    settled: bool = False
    cells: tuple[int, ...] = ()

    @property
    def weight(self) -> float:
        """The percentage of keys that do not get stable."""
        return min(100.0, math.fsum(self.weights))

    @property
    def over(self) -> bool:
        return self.phase in OVER


def begin(
    plan: Plan,
    release: str,
    salt: bytes,
    *,
    default: ModelRef,
    loaded: Collection[ModelRef],
    now: float,
    cells: tuple[int, ...] = (),
) -> ReleaseState:
    """The first state. `default` is what the public name means, `loaded` what is loaded now, `cells` are stable's most
    frequent classes. Raises InvalidInput where stable would be released against itself."""
    stable = plan.stable or default
    if plan.strategy is not Strategy.AB and plan.arms[0].ref == stable:
        raise InvalidInput(f"{stable} answers for {plan.model} already: name another candidate", field="candidate")
    refs = {stable, default, *(arm.ref for arm in plan.arms)}
    return ReleaseState(
        release=release,
        phase=Phase.PENDING,
        stable=stable,
        default_before=default,
        salt=salt,
        weights=(0.0,) * len(plan.arms),
        created_at=now,
        since=now,
        reason="its versions are being loaded",
        loaded_before=frozenset(refs & set(loaded)),
        cells=cells,
    )


def ref_of(plan: Plan, arm: str) -> ModelRef:
    """The version of an arm that the plan has."""
    return next(planned.ref for planned in plan.arms if planned.name == arm)


def weights_of(plan: Plan, winner: str) -> tuple[float, ...]:
    """The weights with which one arm has everything."""
    return tuple(100.0 if arm.name == winner else 0.0 for arm in plan.arms)


def counted_step(plan: Plan, state: ReleaseState) -> int:
    """The step under whose number answers are counted now: what is counted under other weights is not put together with
    a step's. The hold is len(plan.steps); behind it come what was taken back, and what nobody is let into yet."""
    if state.phase in (Phase.ROLLING_BACK, Phase.ROLLED_BACK, Phase.ABORTED):
        return len(plan.steps) + 1
    if not state.weight and not state.shadow:
        return before_all(plan)
    if state.step == len(plan.steps) and (not state.winner or state.weights != weights_of(plan, state.winner)):
        return state.step - 1  # every step is done, and what the last one had in force stays so until a person decides
    return state.step


def before_all(plan: Plan) -> int:
    """The number for what stable answers before anybody is let in: no evidence, but it shows which classes are
    frequent."""
    return len(plan.steps) + 2


def routing_of(plan: Plan, state: ReleaseState) -> ReleaseRouting | None:
    """How requests are routed; None when the public name's default ref answers again.

    A promoted release needs no routing: every process knew of the new default before. One that was ended has its own
    until it is settled, because its default may have to be written back first.
    """
    if state.phase is Phase.PROMOTED or (state.over and state.settled):
        return None
    return ReleaseRouting(
        release=state.release,
        model=plan.model,
        step=counted_step(plan, state),
        salt=state.salt,
        sticky=plan.sticky,
        stable=state.stable,
        arms=tuple(Arm(arm.name, arm.ref, weight) for arm, weight in zip(plan.arms, state.weights, strict=True)),
        shadow=Shadow(plan.arms[0].ref, state.shadow) if state.shadow else None,
        cells=state.cells,
    )
