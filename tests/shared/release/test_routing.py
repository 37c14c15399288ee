"""Who answers: the table of rules, and what a release that lacks sense is told."""

from dataclasses import replace

import pytest

from services.shared.errors import InvalidInput
from services.shared.model_ref import ModelRef
from services.shared.release.routing import (
    Arm,
    ReleaseRouting,
    Route,
    Shadow,
    Sticky,
    bucket,
    choose,
    route_of,
)

V1, V2, V3, PIN = (ModelRef("digits", version) for version in (1, 2, 3, 9))
A, B = Arm("a", V2, 25.0), Arm("b", V3, 50.0)
RELEASE = ReleaseRouting("r", "digits", 4, bytes(16), Sticky.KEY, V1, (A, B), cells=(7, 1))
QUARTER = 2**62


@pytest.mark.parametrize(
    ("key_hash", "arm", "ref"),
    [
        (0, "a", V2),
        (QUARTER - 1, "a", V2),  # a: [0, 0.25)
        (QUARTER, "b", V3),  # b: [0.25, 0.75)
        (3 * QUARTER - 1, "b", V3),
        (3 * QUARTER, "stable", V1),  # the rest
        (2**64 - 1, "stable", V1),
    ],
)
def test_arms_take_intervals_from_zero_in_their_order_and_stable_the_rest(
    key_hash: int, arm: str, ref: ModelRef
) -> None:
    assert choose(RELEASE, key_hash) == Route(ref, arm, "r", 4, None, True, (7, 1))


@pytest.mark.parametrize(
    ("weights", "key_hash", "arm"),
    [
        ((0.0, 0.0), 0, "stable"),
        ((0.0, 100.0), 0, "b"),
        ((0.0, 100.0), 2**64 - 1, "b"),
        ((100.0, 0.0), 2**64 - 1, "a"),
        ((33.3, 66.7), 2**64 - 1, "b"),
    ],
)
def test_weights_of_nothing_and_of_everything_are_exact(weights: tuple[float, float], key_hash: int, arm: str) -> None:
    arms = (replace(A, weight=weights[0]), replace(B, weight=weights[1]))
    assert choose(replace(RELEASE, arms=arms), key_hash).arm == arm


DEFAULT = Route(V1, "stable")  # of no release: empty, step 0, no evidence
LADDER = [
    # release, pinned, forced -> the route of a key whose own arm is "a"
    (RELEASE, PIN, "b", Route(PIN, "pinned")),
    (RELEASE, PIN, "nobody", Route(PIN, "pinned")),
    (RELEASE, PIN, None, Route(PIN, "pinned")),
    (RELEASE, None, "b", Route(V3, "b", "r", 4)),
    (RELEASE, None, "a", Route(V2, "a", "r", 4)),
    (RELEASE, None, "stable", Route(V1, "stable", "r", 4)),
    (RELEASE, None, None, Route(V2, "a", "r", 4, None, True, (7, 1))),
    (None, PIN, "b", Route(PIN, "pinned")),
    (None, PIN, None, Route(PIN, "pinned")),
    (None, None, "stable", DEFAULT),
    (None, None, None, DEFAULT),
]


@pytest.mark.parametrize(("routing", "pinned", "forced", "expected"), LADDER)
def test_pinned_comes_before_forced_before_the_release_before_the_default(
    routing: ReleaseRouting | None, pinned: ModelRef | None, forced: str | None, expected: Route
) -> None:
    assert route_of(routing, V1, 0, pinned=pinned, forced=forced) == expected


@pytest.mark.parametrize(("routing", "pinned", "forced", "expected"), LADDER)
def test_what_was_forced_or_pinned_is_neither_evidence_nor_shadowed(
    routing: ReleaseRouting | None, pinned: ModelRef | None, forced: str | None, expected: Route
) -> None:
    shadowed = routing and replace(routing, shadow=Shadow(PIN, 100.0))
    route = route_of(shadowed, V1, 0, pinned=pinned, forced=forced)
    chosen_by_release = routing is not None and pinned is None and forced is None
    assert (route.evidence, route.shadow) == ((True, PIN) if chosen_by_release else (False, None))


@pytest.mark.parametrize(
    ("routing", "forced", "there_are"), [(RELEASE, "nobody", "a, b, stable"), (None, "a", "stable")]
)
def test_an_unknown_forced_arm_is_refused_naming_the_arms_there_are(
    routing: ReleaseRouting | None, forced: str, there_are: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        route_of(routing, V1, 0, forced=forced)
    assert refused.value.detail == f"there is no arm '{forced}': use one of {there_are}"
    assert refused.value.field == "X-Release-Arm"


def test_an_arm_of_weight_zero_can_be_forced() -> None:
    assert choose(replace(RELEASE, arms=(replace(A, weight=0.0),)), 0, "a").ref == V2


@pytest.mark.parametrize(
    ("shadow", "key_hash", "expected"),
    [
        (Shadow(PIN, 100.0), 2**64 - 1, PIN),
        (Shadow(PIN, 0.0), 0, None),
        (Shadow(V2, 100.0), 0, None),  # the version answers already
        (Shadow(V2, 100.0), 2**64 - 1, V2),
        (None, 0, None),
    ],
)
def test_a_shadow_is_asked_beside_another_version_only(
    shadow: Shadow | None, key_hash: int, expected: ModelRef | None
) -> None:
    route = choose(replace(RELEASE, shadow=shadow), key_hash)
    assert route.shadow == expected
    assert route.arm == choose(RELEASE, key_hash).arm  # extra, never instead


def test_the_largest_hash_is_still_below_one() -> None:
    assert bucket(0) == 0.0
    assert bucket(2**63) == 0.5
    assert bucket(2**64 - 1) < 1.0


@pytest.mark.parametrize(
    ("change", "field", "says"),
    [
        ({"arms": (A, replace(B, weight=75.1))}, "weight", "100.1 together"),
        ({"arms": (replace(A, weight=-1.0),)}, "weight", "-1.0 is not a percentage"),
        ({"arms": (replace(A, weight=float("nan")),)}, "weight", "nan is not a percentage"),
        ({"shadow": Shadow(V2, 101.0)}, "weight", "101.0 is not a percentage"),
        ({"arms": (A, A)}, "arms", "another for each arm"),
        ({"arms": (replace(A, name="stable"),)}, "arms", "none of stable, shadow, pinned"),
        ({"arms": (replace(A, name="two words"),)}, "arms", "'two words' cannot name an arm"),
        ({"arms": (replace(A, name=""),)}, "arms", "'' cannot name an arm"),
        ({"salt": b"short"}, "salt", "16 bytes, not 5"),
        ({"release": ""}, "release", "an id"),
        ({"step": -1}, "release", "steps from 0"),
        ({"model": "../etc"}, "model", "not a model name"),
    ],
)
def test_a_routing_that_contradicts_itself_is_refused(change: dict[str, object], field: str, says: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        replace(RELEASE, **change)  # type: ignore[arg-type]
    assert refused.value.field == field
    assert says in refused.value.detail


def test_routings_that_say_the_same_are_equal() -> None:
    assert replace(RELEASE) == RELEASE
    assert replace(RELEASE, step=5) != RELEASE
