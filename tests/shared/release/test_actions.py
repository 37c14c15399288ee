"""What is to be done outside, for every state."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.shared.release.actions import ActionKind, Seen, actions_of
from services.shared.release.advance import advance
from services.shared.release.commands import Command, CommandKind
from services.shared.release.plan import Plan
from services.shared.release.state import Phase, ReleaseState
from tests.support.release_plans import CANDIDATE, OTHER, STABLE, START, pending
from tests.support.release_states import (
    AB,
    AT_5,
    CALM,
    CANARY,
    COLD,
    COMPARING,
    DONE,
    GONE_BACK,
    HOLDING,
    PAUSES,
    PENDING,
    ROLLING,
)

LOAD, WARM, SET_DEFAULT, UNLOAD = ActionKind
# (plan, state, what is seen, seconds since, actions)
ACTIONS = [
    (CANARY, PENDING, Seen(default=STABLE), 0, [(LOAD, STABLE), (LOAD, CANDIDATE)]),
    (CANARY, PENDING, COLD, 0, [(WARM, CANDIDATE)]),
    (CANARY, AT_5, replace(COLD, desired=frozenset({STABLE})), 0, [(LOAD, CANDIDATE)]),
    (CANARY, AT_5, CALM, 0, []),
    (CANARY, HOLDING, CALM, 99, []),
    (CANARY, HOLDING, CALM, 100, [(SET_DEFAULT, CANDIDATE)]),
    (PAUSES, replace(HOLDING, failed=True), CALM, 100, []),
    (AB, replace(COMPARING, phase=Phase.PROMOTING, winner="fast"), COLD, 999, [(WARM, CANDIDATE), (WARM, OTHER)]),
    (CANARY, DONE, replace(CALM, default=CANDIDATE), 0, []),
    (CANARY, replace(ROLLING, loaded_before=frozenset()), replace(CALM, default=CANDIDATE), 0, [(SET_DEFAULT, STABLE)]),
    (CANARY, ROLLING, replace(CALM, default=OTHER), 0, []),
    (CANARY, GONE_BACK, replace(CALM, followed=False), 0, []),
    (CANARY, GONE_BACK, CALM, 0, [(UNLOAD, CANDIDATE)]),
    (CANARY, GONE_BACK, replace(CALM, needed=frozenset({CANDIDATE})), 0, []),
    (CANARY, GONE_BACK, replace(CALM, default=CANDIDATE), 0, []),
    (CANARY, replace(GONE_BACK, loaded_before=frozenset({CANDIDATE})), CALM, 0, []),
    (CANARY, replace(GONE_BACK, settled=True), CALM, 0, []),
    (CANARY, replace(HOLDING, phase=Phase.ABORTED), replace(CALM, default=CANDIDATE), 0, [(SET_DEFAULT, STABLE)]),
    (
        AB,
        replace(pending(AB), phase=Phase.PROMOTED, winner="big"),
        replace(CALM, default=OTHER),
        0,
        [(UNLOAD, CANDIDATE)],
    ),
]


@pytest.mark.parametrize(("plan", "state", "seen", "elapsed_s", "actions"), ACTIONS, ids=range(len(ACTIONS)))
def test_what_is_to_be_done(
    plan: Plan, state: ReleaseState, seen: Seen, elapsed_s: float, actions: list[tuple[ActionKind, object]]
) -> None:
    assert [(action.kind, action.ref) for action in actions_of(plan, state, seen, START + elapsed_s)] == actions


def test_nothing_is_unloaded_before_the_end_of_a_release_is_written_and_followed() -> None:
    done = advance(CANARY, HOLDING, CALM, Command(CommandKind.ABORT, "ann"), START)
    assert (done.state.phase, done.actions) == (Phase.ABORTED, ())
    after = advance(CANARY, done.state, CALM, None, START)
    assert [action.kind for action in after.actions] == [UNLOAD]


def test_a_release_that_is_over_is_settled_when_nothing_is_left_and_says_nothing_more() -> None:
    gone = replace(CALM, desired=frozenset({STABLE}))
    assert not advance(CANARY, GONE_BACK, CALM, None, START).state.settled
    assert not advance(CANARY, GONE_BACK, replace(gone, followed=False), None, START).state.settled
    done = advance(CANARY, GONE_BACK, gone, None, START)
    assert done.state.settled
    assert done.event is None
    assert advance(CANARY, done.state, gone, None, START).state is done.state
