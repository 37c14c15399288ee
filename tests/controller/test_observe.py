"""What a look sees, step by step and of the fleet."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from services.controller.observe import FleetView, in_force, keys_by_step, observe, refs_of, seen_of, users_of
from services.shared.fleet.base import Desired, Heartbeat, RefReport
from services.shared.model_ref import ModelRef
from services.shared.observations.base import Evidence, FeedbackTotals
from services.shared.release.arm_snapshot import ArmSnapshot
from services.shared.release.distinct_keys import REGISTERS, DistinctKeysSnapshot
from services.shared.release.mean_evidence import Sample
from services.shared.release.observation import Observation
from services.shared.release.plan import Plan
from services.shared.release.release_counters import ArmKey, ReleaseSnapshot
from services.shared.release.state import Phase, ReleaseState, routing_of
from services.shared.release.verdict import Verdict
from services.shared.release_store.base import Release
from tests.support.release_plans import CANDIDATE, OTHER, STABLE, blue_green, canary
from tests.support.release_states import (
    AB,
    AT_5,
    AT_25,
    AT_50,
    CANARY,
    COMPARING,
    DONE,
    ENDED,
    HOLDING,
    PENDING,
    ROLLING,
    SHADOWING,
    WAITING,
    state_in,
)


def evidence(arms: dict[tuple[int, str], ArmSnapshot], **more: object) -> Evidence:
    totals = ReleaseSnapshot({ArmKey("r-1", step, arm): snapshot for (step, arm), snapshot in arms.items()})
    return Evidence(totals, **more)  # type: ignore[arg-type]


def asked(requests: int) -> ArmSnapshot:
    keys = DistinctKeysSnapshot(bytes([requests - 1]) * REGISTERS)
    return ArmSnapshot(requests=requests, classes={3: requests}, keys=keys)


def seen(plan: Plan, state: ReleaseState, known: Evidence) -> tuple[Observation, ...]:
    """With a count of keys that is what every register holds."""
    keys = keys_by_step(plan, state, known, lambda keys: float(keys.registers[0]))
    return observe(plan, state, known, keys, ({},) * len(plan.arms))


EVERYWHERE = evidence(
    {(step, arm): asked(1 + step) for step in range(8) for arm in ("stable", "candidate", "shadow", "fast", "big")}
)


@pytest.mark.parametrize(
    ("plan", "state", "steps"),
    [
        (CANARY, PENDING, []),
        (CANARY, SHADOWING, [0]),
        (CANARY, AT_5, [0, 1]),
        (CANARY, AT_25, [0, 1, 2]),
        (CANARY, WAITING, [0, 1, 2, 3]),
        (CANARY, AT_50, [0, 1, 2, 3, 4]),
        (CANARY, HOLDING, [0, 1, 2, 3, 4, 5]),
        (CANARY, ROLLING, []),
        (CANARY, ENDED, []),
        (AB, COMPARING, [0]),
        (AB, replace(COMPARING, phase=Phase.PAUSED, step=1), [0]),
        (blue_green(), state_in(blue_green(), Phase.PROMOTING, 0, (100.0,), winner="candidate"), [0]),
        (blue_green(), state_in(blue_green(), Phase.PROMOTING, 0, (0.0,), winner="candidate"), []),
    ],
)
def test_the_steps_until_now_are_seen_the_current_one_last(plan: Plan, state: ReleaseState, steps: list[int]) -> None:
    found = seen(plan, state, EVERYWHERE)
    assert len(found) == (len(plan.arms) if steps else 0)
    for observation in found:
        assert [totals.step for totals in observation.steps] == steps
        routing = routing_of(plan, state)
        assert routing is not None
        assert routing.step == steps[-1]  # what is counted now is what is looked at
        assert [totals.stable.snapshot.requests for totals in observation.steps] == [1 + step for step in steps]


def test_a_step_that_mirrors_is_of_the_shadow_and_one_that_waits_is_as_the_one_before() -> None:
    [observation] = seen(CANARY, AT_50, EVERYWHERE)
    assert [totals.shadow for totals in observation.steps] == [True, False, False, False, False]
    shares = [totals.shares for totals in observation.steps]
    assert shares == [(), (0.95, 0.05), (0.75, 0.25), (0.75, 0.25), (0.5, 0.5)]
    assert [totals.keys for totals in observation.steps] == [(), (1.0, 1.0), (2.0, 2.0), (3.0, 3.0), (4.0, 4.0)]
    [holding] = seen(CANARY, HOLDING, EVERYWHERE)
    assert (holding.current.shares, holding.current.shadow) == ((), False)
    only_shadows = canary(steps=[{"shadow": 50, "for": "1s"}, {"pause": True}, {"weight": 5, "for": "1s"}])
    waits = state_in(only_shadows, Phase.PAUSED, 1, (0.0,), shadow=50.0)
    [observation] = seen(only_shadows, waits, EVERYWHERE)
    assert [totals.shadow for totals in observation.steps] == [True, True]
    assert in_force(canary(steps=[{"pause": True}, {"weight": 5, "for": "1s"}]), 0) is None


def test_keys_are_of_all_arms_stable_first_and_only_where_they_choose_the_arm() -> None:
    first, second = seen(AB, COMPARING, EVERYWHERE)
    assert first.current.shares == second.current.shares == (0.0, 0.3, 0.7)
    assert len(first.current.keys) == 3
    [loose] = seen(canary(sticky="none"), AT_5, EVERYWHERE)
    assert (loose.current.shares, loose.current.keys) == ((), ())


def test_the_weights_of_arms_are_shares_whatever_they_add_up_to() -> None:
    few = evidence({(1, "candidate"): asked(2)})
    [observation] = seen(CANARY, AT_5, few)
    assert [totals.step for totals in observation.steps] == [1]
    assert observation.current.keys == (0.0, 1.0)  # an arm that nobody came to has no key
    [observation] = seen(CANARY, AT_25, few)
    assert [totals.step for totals in observation.steps] == [1, 2]  # the current one is there in any case
    assert observation.current.keys == ()


def test_feedback_is_joined_to_its_arm() -> None:
    key = ArmKey("r-1", 1, "candidate")
    told = evidence({(1, "candidate"): asked(5)}, feedback={key: FeedbackTotals(4, 3, Sample(2, 1.0, 0.5))})
    [observation] = seen(CANARY, AT_5, told)
    candidate = observation.current.candidate
    assert (candidate.labelled, candidate.right, candidate.reward) == (4, 3, Sample(2, 1.0, 0.5))
    assert observation.current.stable.labelled == 0


def test_no_prediction_is_shown_by_class_before_the_cells_are_known() -> None:
    [hidden] = seen(CANARY, AT_5, EVERYWHERE)
    assert hidden.current.stable.snapshot.classified == 0
    [shown] = seen(CANARY, replace(AT_5, cells=(3,)), EVERYWHERE)
    assert shown.cells == (3,)
    assert shown.current.stable.snapshot.classes == {3: 2}


NOW = 1000.0
RELEASE = Release(CANARY, AT_5, revision=7)


def beat(name: str, *loaded: ModelRef, routing: int | None = 7, seen_revision: int = 3, **more: object) -> Heartbeat:
    reports = {ref: RefReport(1, "loaded") for ref in loaded}
    return Heartbeat(name, NOW, seen_revision, reports, routing, **more)  # type: ignore[arg-type]


DESIRED = Desired(3, {STABLE: 1, CANDIDATE: 1}, {"digits": STABLE, "big": OTHER})


def test_the_fleet_is_seen_as_advance_asks() -> None:
    fleet = FleetView.of(DESIRED, [beat("api", STABLE, CANDIDATE), beat("worker", STABLE)], NOW)
    found = seen_of(RELEASE, fleet, users_of([RELEASE]), Verdict(), 4.0)
    assert found.desired == {STABLE, CANDIDATE}
    assert found.warm == {STABLE}
    assert (found.default, found.followed, found.idle_s, found.load_failed) == (STABLE, True, 4.0, "")
    assert found.needed == {STABLE, OTHER}  # the defaults of all names


def test_what_another_release_uses_is_needed() -> None:
    other = Release(replace(CANARY, model="letters"), replace(AT_5, release="r-2"))
    fleet = FleetView.of(DESIRED, [], NOW)
    assert CANDIDATE in seen_of(RELEASE, fleet, users_of([RELEASE, other]), Verdict(), 0.0).needed
    assert CANDIDATE not in seen_of(RELEASE, fleet, Counter({CANDIDATE: 1}), Verdict(), 0.0).needed
    assert refs_of(Release(AB, COMPARING)) == {STABLE, CANDIDATE, OTHER}


@pytest.mark.parametrize(
    ("beats", "followed"),
    [
        ([beat("api")], True),
        ([beat("api", routing=8)], True),
        ([beat("api"), beat("worker", routing=6)], False),
        ([beat("api"), beat("worker", seen_revision=2)], False),
        ([beat("api"), beat("worker", routing=-1)], False),
        ([beat("api"), beat("model-server", routing=None)], True),
        ([beat("api"), replace(beat("dead", routing=1), at=NOW - 60)], True),
        ([beat("model-server", routing=None)], False),
        ([], False),
    ],
)
def test_followed_is_said_of_all_who_route(beats: list[Heartbeat], followed: bool) -> None:
    fleet = FleetView.of(DESIRED, beats, NOW)
    assert seen_of(RELEASE, fleet, Counter(), Verdict(), 0.0).followed is followed


def test_a_load_that_failed_is_told_and_an_older_failure_is_not() -> None:
    broken = {CANDIDATE: RefReport(1, "failed", "no such operator")}
    fleet = FleetView.of(DESIRED, [beat("api", STABLE), replace(beat("worker"), reports=broken)], NOW)
    failed = seen_of(RELEASE, fleet, Counter(), Verdict(), 0.0).load_failed
    assert failed == "digits_int8/1 cannot be loaded: no such operator"
    asked_again = replace(DESIRED, loaded={CANDIDATE: 2})
    fleet = FleetView.of(asked_again, fleet.living, NOW)
    assert seen_of(RELEASE, fleet, Counter(), Verdict(), 0.0).load_failed == ""


def test_an_own_write_is_followed_by_nobody_yet() -> None:
    fleet = FleetView.of(DESIRED, [beat("api", STABLE, CANDIDATE)], NOW)
    written = fleet.with_desired(replace(DESIRED, revision=4, loaded={STABLE: 1, OTHER: 1}))
    found = seen_of(RELEASE, written, Counter(), Verdict(), 0.0)
    assert not found.followed
    assert found.warm == {STABLE}


def test_nothing_is_seen_of_a_release_that_is_over() -> None:
    assert seen(CANARY, replace(DONE, phase=Phase.ABORTED), EVERYWHERE) == ()
    assert keys_by_step(CANARY, AT_5, Evidence(), DistinctKeysSnapshot.estimate) == {}
