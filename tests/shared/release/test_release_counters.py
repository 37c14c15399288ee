"""What a process counts about all its releases."""

import copy
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.shared.model_ref import ModelRef
from services.shared.release.arm_counters import ArmCounters
from services.shared.release.release_counters import MAX_ARMS, ArmKey, ReleaseCounters, ReleaseSnapshot
from services.shared.release.routing import Route

V1, V2 = ModelRef("digits", 1), ModelRef("digits", 2)
LIVE = Route(V1, "stable", "r", 3, V2, True, (1, 2))
SNAPSHOTS = st.lists(
    st.tuples(st.sampled_from("rs"), st.integers(0, 2), st.sampled_from(["stable", "candidate"])), max_size=8
)


def answered(arm: ArmCounters | None) -> None:
    assert arm is not None
    arm.begin()
    arm.observe(0.01, 5, 1, 0.5)


def after(requests: list[tuple[str, int, str]]) -> ReleaseSnapshot:
    counters = ReleaseCounters()
    for release, step, arm in requests:
        answered(counters.of(replace(LIVE, release=release, step=step, arm=arm)))
    return counters.snapshot()


def test_every_release_step_and_arm_is_counted_apart() -> None:
    found = after(
        [("r", 0, "stable"), ("r", 0, "stable"), ("r", 1, "stable"), ("r", 1, "candidate"), ("s", 0, "stable")]
    )
    assert {(key.release, key.step, key.arm): arm.requests for key, arm in found.arms.items()} == {
        ("r", 0, "stable"): 2,
        ("r", 1, "stable"): 1,
        ("r", 1, "candidate"): 1,
        ("s", 0, "stable"): 1,
    }


@pytest.mark.parametrize("route", [Route(V1, "pinned"), Route(V1, "stable"), Route(V2, "candidate", "r", 3)])
def test_what_is_no_evidence_is_counted_nowhere(route: Route) -> None:
    counters = ReleaseCounters()
    assert counters.of(route) is None
    assert counters.shadow_of(route) is None
    assert counters.snapshot() == ReleaseSnapshot()


def test_a_shadows_answers_are_counted_apart_from_every_live_arm() -> None:
    counters = ReleaseCounters()
    answered(counters.of(LIVE))
    answered(counters.shadow_of(LIVE))
    answered(counters.shadow_of(LIVE))
    found = counters.snapshot().arms
    assert (found[ArmKey("r", 3, "stable")].requests, found[ArmKey("r", 3, "shadow")].requests) == (1, 2)


def test_an_arm_counts_the_releases_cells_apart() -> None:
    arm = ReleaseCounters().of(LIVE)
    answered(arm)
    assert arm is not None
    assert arm.snapshot().classes == {1: 1, 2: 0}


def test_what_is_over_is_forgotten_and_what_began_first_when_there_are_too_many() -> None:
    counters = ReleaseCounters()
    for step in range(MAX_ARMS + 2):
        answered(counters.of(replace(LIVE, step=step)))
    steps = [key.step for key in counters.snapshot().arms]
    assert steps == list(range(2, MAX_ARMS + 2))
    answered(counters.of(replace(LIVE, release="s")))
    counters.forget("r")
    assert [key.release for key in counters.snapshot().arms] == ["s"]


def test_what_a_release_has_left_behind_makes_room_for_what_is_still_counted() -> None:
    counters = ReleaseCounters()
    answered(counters.of(replace(LIVE, release="long")))  # it began first, and is where it was
    for number in range(MAX_ARMS - 2):
        for step in (0, 1, 2):
            answered(counters.of(replace(LIVE, release=f"brief-{number}", step=step)))
    answered(counters.of(replace(LIVE, release="long")))
    found = counters.snapshot().arms
    assert len(found) == MAX_ARMS
    assert found[ArmKey("long", 3, "stable")].requests == 2
    assert all(ArmKey(f"brief-{number}", 2, "stable") in found for number in range(MAX_ARMS - 2))


@given(SNAPSHOTS, SNAPSHOTS, SNAPSHOTS)
def test_merging_is_associative_and_commutative_and_equals_counting_in_one_place(
    one: list[tuple[str, int, str]], two: list[tuple[str, int, str]], three: list[tuple[str, int, str]]
) -> None:
    a, b, c = after(one), after(two), after(three)
    assert a.merge(b) == b.merge(a)
    assert a.merge(b).merge(c) == a.merge(b.merge(c)) == after(one + two + three)
    assert a.merge(ReleaseSnapshot()) == a


@given(SNAPSHOTS)
def test_a_snapshot_survives_json_exactly(requests: list[tuple[str, int, str]]) -> None:
    snapshot = after(requests)
    assert ReleaseSnapshot.from_json(json.loads(json.dumps(snapshot.to_json()))) == snapshot


def damaged(path: list[Any], value: object) -> Any:
    document = copy.deepcopy(after([("r", 0, "stable")]).to_json())
    place = document
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = value
    return document


@pytest.mark.parametrize(
    "document",
    [
        {},
        [],
        damaged(["format"], 2),
        damaged(["arms"], None),
        damaged(["arms", 0], ["r", 0]),
        damaged(["arms", 0, 3], {}),
        damaged(["arms", 0, 3, "keys"], "short"),
        damaged(["arms", 0, 3, "new"], 1),
        damaged(["arms", 0, 3, "latency", "counts"], [[10_000, 1]]),
        damaged(["arms", 0, 3, "latency", "first"], 10_000),
    ],
)
def test_a_document_that_cannot_be_read_is_refused_whole(document: Any) -> None:
    with pytest.raises(ValueError, match="counters cannot be read"):
        ReleaseSnapshot.from_json(document)
