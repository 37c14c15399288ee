"""What the hash promises: a key keeps its arm, no weight takes it back, and the split is even and independent."""

import hashlib
from dataclasses import replace
from functools import cache

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st

from services.shared.model_ref import ModelRef
from services.shared.release.routing import Arm, ReleaseRouting, Shadow, Sticky, bucket, choose

V1, V2, V3 = (ModelRef("digits", version) for version in (1, 2, 3))
ONE = ReleaseRouting("one", "digits", 0, b"the salt of one!", Sticky.KEY, V1, (Arm("candidate", V2, 5.0),))
TWO = replace(ONE, release="two", salt=b"the salt of two!")
HASHES = st.integers(0, 2**64 - 1)


def weighing(routing: ReleaseRouting, *weights: float) -> ReleaseRouting:
    arms = tuple(Arm(f"arm-{i}", V2 if i % 2 else V3, weight) for i, weight in enumerate(weights))
    return replace(routing, arms=arms)


@cache
def hashes(routing: ReleaseRouting, count: int) -> npt.NDArray[np.uint64]:
    """Of the keys "0", "1" and so on: neighbours, which a weak hash would keep together."""
    return np.array([routing.hash_of(b"%d" % i) for i in range(count)], np.uint64)


def chi_square(observed: npt.NDArray[np.int64], expected: npt.NDArray[np.float64]) -> float:
    return float(((observed - expected) ** 2 / expected).sum())


@given(st.binary(max_size=256), st.binary(min_size=16, max_size=16))
def test_a_key_is_hashed_as_the_document_says(key: bytes, salt: bytes) -> None:
    digest = hashlib.blake2b(key, digest_size=8, salt=salt).digest()
    routing = replace(ONE, salt=salt)
    assert routing.hash_of(key) == int.from_bytes(digest, "big")
    assert bucket(routing.hash_of(key)) == int.from_bytes(digest, "big") // 2**11 / 2**53


@given(st.binary(max_size=64), st.floats(0, 100), st.integers(0, 20))
def test_a_key_keeps_its_arm_through_steps_and_in_another_process(key: bytes, weight: float, step: int) -> None:
    first = weighing(ONE, weight)
    again = replace(weighing(ONE, weight), step=step)
    assert choose(first, first.hash_of(key)).arm == choose(again, again.hash_of(key)).arm


def test_no_key_of_100_000_goes_back_to_stable_as_the_weight_rises() -> None:
    all_hashes = hashes(ONE, 100_000).tolist()
    inside: set[int] = set()
    for weight in (1.0, 5.0, 25.0, 50.0, 100.0):
        routing = weighing(ONE, weight)
        now = {key_hash for key_hash in all_hashes if choose(routing, key_hash).arm != "stable"}
        assert inside <= now
        sigma = (len(all_hashes) * weight / 100 * (1 - weight / 100)) ** 0.5
        assert abs(len(now) - len(all_hashes) * weight / 100) <= 4 * sigma
        inside = now
    assert len(inside) == len(all_hashes)


@given(HASHES, st.lists(st.floats(0, 20), min_size=1, max_size=5), st.data())
def test_no_key_goes_back_to_stable_when_weights_rise(key_hash: int, weights: list[float], data: st.DataObject) -> None:
    raised = [data.draw(st.floats(weight, 20)) for weight in weights]
    if choose(weighing(ONE, *weights), key_hash).arm != "stable":
        assert choose(weighing(ONE, *raised), key_hash).arm != "stable"


def test_a_million_keys_spread_evenly() -> None:
    """Chi-square with 999 degrees of freedom: beyond 1,143 with a chance of 0.1 %; these keys are always the same."""
    cells = np.bincount((hashes(ONE, 1_000_000) >> np.uint64(32)).astype(np.int64) * 1000 >> 32, minlength=1000)
    assert chi_square(cells, np.full(1000, 1000.0)) < 1143


def test_a_million_keys_are_split_by_weight() -> None:
    """As `choose` does it, in bulk: the interval a hash falls into. 3 degrees of freedom: 16.27 at 0.1 %."""
    routing = weighing(ONE, 5.0, 20.0, 33.3)
    names = np.array(["arm-0", "arm-1", "arm-2", "stable"])
    ends = np.array([0.05, 0.25, 0.583]) * 2.0**64
    places = np.searchsorted(ends.astype(np.uint64), hashes(ONE, 1_000_000), side="right")
    sample = slice(0, 20_000)
    assert [choose(routing, h).arm for h in hashes(ONE, 1_000_000)[sample].tolist()] == names[places[sample]].tolist()
    observed = np.bincount(places, minlength=4)
    assert chi_square(observed, np.array([0.05, 0.20, 0.333, 0.417]) * 1e6) < 16.27


def test_two_releases_split_the_same_keys_independently() -> None:
    """10 x 10 cells, 99 degrees of freedom: 148.2 at 0.1 %."""
    one, two = ((hashes(routing, 200_000) >> np.uint64(32)).astype(np.int64) * 10 >> 32 for routing in (ONE, TWO))
    assert chi_square(np.bincount(one * 10 + two, minlength=100), np.full(100, 2000.0)) < 148.2


def test_the_shadow_samples_every_arm_alike() -> None:
    """A 5 % arm and the rest are both shadowed at 30 %, within four standard deviations."""
    routing = replace(ONE, shadow=Shadow(V3, 30.0))
    routes = [choose(routing, key_hash) for key_hash in hashes(ONE, 100_000).tolist()]
    for arm in ("candidate", "stable"):
        shadowed = [route.shadow is not None for route in routes if route.arm == arm]
        sigma = (0.3 * 0.7 / len(shadowed)) ** 0.5
        assert abs(sum(shadowed) / len(shadowed) - 0.3) < 4 * sigma


@given(st.integers(0, 2**64 - 1000), st.floats(1, 99))
def test_the_shadow_samples_any_narrow_interval_of_hashes_evenly(start: int, share: float) -> None:
    """Multiples of the golden ratio leave no cluster: of 1,000 neighbours at most 1 % more or fewer than the share."""
    routing = replace(ONE, shadow=Shadow(V3, share))
    picked = sum(choose(routing, start + i).shadow is not None for i in range(1000))
    assert abs(picked - 10 * share) <= 10
