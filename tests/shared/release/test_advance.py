"""One look at a release at a time: every rule in a row of its own."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from services.shared.errors import InvalidInput
from services.shared.release.actions import Seen
from services.shared.release.advance import Advanced, advance, begun
from services.shared.release.commands import Command, CommandKind
from services.shared.release.plan import Plan
from services.shared.release.state import Phase, ReleaseState, begin, routing_of
from services.shared.release.verdict import Outcome, Verdict
from tests.support.release_plans import CANDIDATE, SALT, STABLE, START, pending
from tests.support.release_states import (
    AB,
    AT_5,
    AT_25,
    AT_50,
    BLUE_GREEN,
    BROKEN,
    CALM,
    CANARY,
    CHOSEN,
    COLD,
    COMPARING,
    DONE,
    ENDED,
    FAIL,
    GONE_BACK,
    HOLDING,
    IDLE,
    MIRRORED,
    MISMATCH,
    NO_TRAFFIC,
    PASS,
    PAUSES,
    PENDING,
    QUIET,
    ROLLING,
    SHADOW,
    SHADOWING,
    WAITING,
)

# (plan, state, what is seen, seconds since the step began, then: phase, step, weights, shadow, a word of the reason)
BY_ITSELF = [
    (CANARY, PENDING, COLD, 999, Phase.PENDING, 0, (0.0,), 0.0, "being loaded"),
    (CANARY, PENDING, CALM, 0, Phase.SHADOWING, 0, (0.0,), 50.0, "step 1 of 5: 50 % are mirrored"),
    (CANARY, PENDING, BROKEN, 0, Phase.ROLLING_BACK, 0, (0.0,), 0.0, "no such operator"),
    (PAUSES, PENDING, BROKEN, 0, Phase.ROLLING_BACK, 0, (0.0,), 0.0, "no such operator"),
    (BLUE_GREEN, pending(BLUE_GREEN), CALM, 0, Phase.PROMOTING, 0, (0.0,), 0.0, "takes all as soon as it is warm"),
    (AB, pending(AB), CALM, 0, Phase.PROGRESSING, 0, (30.0, 70.0), 0.0, "step 1 of 1: weight 100"),
    (CANARY, SHADOWING, CALM, 29, Phase.SHADOWING, 0, (0.0,), 50.0, ""),
    (
        CANARY,
        SHADOWING,
        CALM,
        30,
        Phase.PAUSED,
        0,
        (0.0,),
        50.0,
        "not passed within 3 times its 10 s: nothing is known",
    ),
    (CANARY, SHADOWING, PASS, 9, Phase.SHADOWING, 0, (0.0,), 50.0, ""),
    (CANARY, SHADOWING, PASS, 10, Phase.PROGRESSING, 1, (5.0,), 0.0, "step 2 of 5: weight 5"),
    (CANARY, AT_5, PASS, 10, Phase.PROGRESSING, 2, (25.0,), 0.0, "step 3 of 5: weight 25"),
    (CANARY, AT_5, PASS, -10, Phase.PROGRESSING, 1, (5.0,), 0.0, ""),
    (CANARY, AT_5, replace(PASS, warm=COLD.warm), 10, Phase.PROGRESSING, 1, (5.0,), 0.0, ""),
    (CANARY, AT_5, replace(PASS, warm=COLD.warm), 30, Phase.PAUSED, 1, (5.0,), 0.0, "a version is not warm everywhere"),
    (CANARY, AT_5, FAIL, 0, Phase.ROLLING_BACK, 1, (0.0,), 0.0, "too many errors"),
    (CANARY, AT_5, BROKEN, 0, Phase.ROLLING_BACK, 1, (0.0,), 0.0, "no such operator"),
    (PAUSES, AT_5, FAIL, 0, Phase.PAUSED, 1, (5.0,), 0.0, "too many errors"),
    (CANARY, AT_5, MISMATCH, 0, Phase.PAUSED, 1, (5.0,), 0.0, "5 % planned, 9 % seen"),
    (CANARY, AT_5, IDLE, 4, Phase.PROGRESSING, 1, (5.0,), 0.0, ""),
    (QUIET, AT_5, IDLE, 4, Phase.PROGRESSING, 1, (5.0,), 0.0, ""),
    (QUIET, AT_5, IDLE, 5, Phase.PAUSED, 1, (5.0,), 0.0, "no arm was asked anything for 5 s"),
    (QUIET, AT_5, replace(IDLE, idle_s=4.0), 9, Phase.PROGRESSING, 1, (5.0,), 0.0, ""),
    (NO_TRAFFIC, AT_5, IDLE, 5, Phase.ROLLING_BACK, 1, (0.0,), 0.0, "no arm was asked anything"),
    (CANARY, AT_25, PASS, 10, Phase.PAUSED, 3, (25.0,), 0.0, "step 4 of 5 waits for a person"),
    (CANARY, WAITING, PASS, 999, Phase.PAUSED, 3, (25.0,), 0.0, ""),
    (CANARY, WAITING, IDLE, 9999, Phase.PAUSED, 3, (25.0,), 0.0, ""),
    (CANARY, WAITING, FAIL, 0, Phase.ROLLING_BACK, 3, (0.0,), 0.0, "too many errors"),
    (PAUSES, WAITING, FAIL, 0, Phase.PAUSED, 3, (25.0,), 0.0, "too many errors"),
    (CANARY, AT_50, PASS, 10, Phase.PROMOTING, 4, (50.0,), 0.0, "takes all as soon as it is warm"),
    (CANARY, CHOSEN, COLD, 9, Phase.PROMOTING, 4, (50.0,), 0.0, ""),
    (CANARY, CHOSEN, CALM, 9, Phase.PROMOTING, 5, (100.0,), 0.0, "candidate answers everything"),
    (CANARY, HOLDING, PASS, 99, Phase.PROMOTING, 5, (100.0,), 0.0, ""),
    (CANARY, HOLDING, PASS, 100, Phase.PROMOTING, 5, (100.0,), 0.0, ""),
    (CANARY, HOLDING, replace(PASS, default=CANDIDATE), 99, Phase.PROMOTING, 5, (100.0,), 0.0, ""),
    (CANARY, HOLDING, replace(PASS, default=CANDIDATE, followed=False), 100, Phase.PROMOTING, 5, (100.0,), 0.0, ""),
    (CANARY, HOLDING, replace(PASS, default=CANDIDATE), 100, Phase.PROMOTED, 5, (100.0,), 0.0, "is what digits means"),
    (CANARY, HOLDING, IDLE, 9, Phase.PROMOTING, 5, (100.0,), 0.0, ""),
    (CANARY, HOLDING, FAIL, 9, Phase.ROLLING_BACK, 5, (0.0,), 0.0, "too many errors"),
    (PAUSES, HOLDING, FAIL, 9, Phase.PROMOTING, 5, (100.0,), 0.0, "stays as it is until a person rolls it back"),
    (
        PAUSES,
        replace(HOLDING, failed=True),
        replace(PASS, default=CANDIDATE),
        100,
        Phase.PROMOTING,
        5,
        (100.0,),
        0.0,
        "",
    ),
    (PAUSES, replace(CHOSEN, failed=True), PASS, 100, Phase.PROMOTING, 4, (50.0,), 0.0, ""),
    (SHADOW, MIRRORED, PASS, 10, Phase.PAUSED, 1, (0.0,), 50.0, "a person promotes an arm, or ends the release"),
    (AB, COMPARING, PASS, 10, Phase.PAUSED, 1, (30.0, 70.0), 0.0, "a person promotes an arm"),
    (CANARY, ROLLING, replace(CALM, followed=False), 9, Phase.ROLLING_BACK, 5, (0.0,), 0.0, ""),
    (CANARY, ROLLING, replace(CALM, default=CANDIDATE), 9, Phase.ROLLING_BACK, 5, (0.0,), 0.0, ""),
    (CANARY, ROLLING, FAIL, 9, Phase.ROLLED_BACK, 5, (0.0,), 0.0, ""),
]


@pytest.mark.parametrize(
    ("plan", "state", "seen", "elapsed_s", "phase", "step", "weights", "shadow_", "why"),
    BY_ITSELF,
    ids=range(len(BY_ITSELF)),
)
def test_what_happens_by_itself(
    plan: Plan,
    state: ReleaseState,
    seen: Seen,
    elapsed_s: float,
    phase: Phase,
    step: int,
    weights: tuple[float, ...],
    shadow_: float,
    why: str,
) -> None:
    done = advance(plan, state, seen, None, START + elapsed_s)
    after = done.state
    assert (after.phase, after.step, after.weights, after.shadow) == (phase, step, weights, shadow_)
    assert why in after.reason
    assert (done.event is None) == (after is state)
    if done.event is not None:
        assert done.event.by == "controller"
        assert (done.event.before, done.event.phase, done.event.why) == (state.phase, phase, after.reason)


@pytest.mark.parametrize(
    ("phase", "outcome", "kind"), list(itertools.product(Phase, Outcome, [None, *CommandKind])), ids=str
)
def test_every_phase_verdict_and_command_has_a_row(phase: Phase, outcome: Outcome, kind: CommandKind | None) -> None:
    command = Command(kind, "ann", "candidate") if kind is not None else None
    for plan, step, known in itertools.product((CANARY, PAUSES), (0, 1, 4), (CALM, COLD, Seen())):
        state = replace(
            AT_5, phase=phase, step=step, winner="candidate" if phase in (Phase.PROMOTING, Phase.PROMOTED) else ""
        )
        done = advance(plan, state, replace(known, verdict=Verdict(outcome, "so it is")), command, START + 5)
        assert isinstance(done, Advanced)
        routing_of(plan, done.state)


def test_the_routing_follows_the_state() -> None:
    for plan, state, step, weights, share in [
        (CANARY, PENDING, 7, [0.0], None),
        (BLUE_GREEN, pending(BLUE_GREEN), 2, [0.0], None),
        (CANARY, SHADOWING, 0, [0.0], 50.0),
        (CANARY, AT_5, 1, [5.0], None),
        (CANARY, HOLDING, 5, [100.0], None),
        (CANARY, ROLLING, 6, [0.0], None),
        (CANARY, ENDED, 6, [0.0], None),
        (AB, COMPARING, 0, [30.0, 70.0], None),
        (AB, replace(COMPARING, phase=Phase.PAUSED, step=1), 0, [30.0, 70.0], None),
        (AB, replace(COMPARING, phase=Phase.PROMOTING, step=1, winner="big"), 0, [30.0, 70.0], None),
        (
            AB,
            replace(COMPARING, phase=Phase.PROMOTING, step=1, winner="big", weights=(0.0, 100.0)),
            1,
            [0.0, 100.0],
            None,
        ),
    ]:
        routing = routing_of(plan, state)
        assert routing is not None
        assert (routing.step, [arm.weight for arm in routing.arms]) == (step, weights)
        assert (routing.shadow and routing.shadow.share) == share
        assert (routing.release, routing.model, routing.salt, routing.stable) == ("r-1", "digits", SALT, STABLE)
    for state in (DONE, replace(ENDED, settled=True), replace(GONE_BACK, settled=True)):
        assert routing_of(CANARY, state) is None


def test_a_release_begins_with_what_the_name_means_and_refuses_to_release_stable() -> None:
    assert (PENDING.stable, PENDING.default_before, PENDING.loaded_before) == (STABLE, STABLE, frozenset({STABLE}))
    event = begun(PENDING, "ann")
    assert (event.at, event.by, event.before, event.phase, event.weight) == (START, "ann", None, Phase.PENDING, 0)
    with pytest.raises(InvalidInput, match="digits_int8/1 answers for digits already"):
        begin(CANARY, "r-1", SALT, default=CANDIDATE, loaded=(), now=START)
