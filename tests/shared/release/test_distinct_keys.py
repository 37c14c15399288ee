"""How many keys there were, to within the error that is promised."""

import base64

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.shared.model_ref import ModelRef
from services.shared.release.distinct_keys import ERROR, RANK_BITS, REGISTERS, DistinctKeys, DistinctKeysSnapshot
from services.shared.release.routing import Arm, ReleaseRouting, Sticky, choose

HASHES = st.lists(st.integers(0, 2**64 - 1), max_size=50)


def of(hashes: list[int]) -> DistinctKeysSnapshot:
    keys = DistinctKeys()
    for key_hash in hashes:
        keys.add(key_hash)
    return keys.snapshot()


def even(seed: int, count: int) -> list[int]:
    return np.random.default_rng(seed).integers(0, 2**64, count, np.uint64, endpoint=False).tolist()  # type: ignore[no-any-return]


@pytest.mark.parametrize("count", [100, 1_000, 5_000, 20_000])
def test_the_estimates_scatter_as_little_as_is_promised(count: int) -> None:
    """Over 30 independent sets of keys: no bias beyond three standard errors of the mean, none off by four."""
    ratios = [of(even(seed, count)).estimate() / count - 1 for seed in range(30)]
    assert max(map(abs, ratios)) < 4 * ERROR
    assert abs(sum(ratios)) / 30 < 3 * ERROR / 30**0.5


def test_few_keys_are_counted_almost_exactly() -> None:
    assert of([]).estimate() == 0
    assert of(even(0, 1)).estimate() == pytest.approx(1, abs=0.01)
    assert of(even(0, 10)).estimate() == pytest.approx(10, abs=0.1)


def test_a_key_that_comes_again_is_not_another() -> None:
    hashes = even(1, 500)
    assert of(hashes * 3) == of(hashes)


@pytest.mark.parametrize("weight", [0.1, 5.0, 95.0])
def test_an_arms_keys_are_counted_as_well_though_their_hashes_begin_alike(weight: float) -> None:
    routing = ReleaseRouting(
        "r",
        "digits",
        0,
        b"sixteen bytes...",
        Sticky.KEY,
        ModelRef("digits", 1),
        (Arm("a", ModelRef("digits", 2), weight),),
    )
    mine = [h for h in map(routing.hash_of, (b"%d" % i for i in range(100_000))) if choose(routing, h).arm == "a"]
    assert of(mine).estimate() == pytest.approx(len(mine), rel=max(3 * ERROR, 3 / len(mine)))


@pytest.mark.parametrize(
    ("key_hash", "register", "rank"),
    [
        (1 << 11, 0, 1),
        (5 | 1 << 13, 5, 3),
        (0, 0, RANK_BITS + 1),
        (1 << 63, 0, RANK_BITS + 1),  # the routing's bits are not looked at
        (2047 | 1 << 50, 2047, RANK_BITS),
    ],
)
def test_the_low_bits_choose_the_register_and_the_rank(key_hash: int, register: int, rank: int) -> None:
    registers = of([key_hash]).registers
    assert (registers[register], sum(registers)) == (rank, rank)


@pytest.mark.parametrize("count", [10**6, 10**9, 10**12, REGISTERS * 2**RANK_BITS])
def test_numbers_too_large_to_add_are_estimated_from_the_registers_they_would_leave(count: int) -> None:
    """A register is at most k with the chance exp(-count / REGISTERS / 2^k): here are that distribution's quantiles."""
    ranks = np.arange(RANK_BITS + 1)
    at_most = np.exp(-count / REGISTERS * 0.5**ranks)
    registers = np.searchsorted(at_most, (np.arange(REGISTERS) + 0.5) / REGISTERS).astype(np.uint8).tobytes()
    assert DistinctKeysSnapshot(registers).estimate() == pytest.approx(count, rel=0.01)


@given(HASHES, HASHES, HASHES)
def test_merging_is_a_union(one: list[int], two: list[int], three: list[int]) -> None:
    a, b, c = of(one), of(two), of(three)
    assert a.merge(b) == b.merge(a) == of(one + two)
    assert a.merge(b).merge(c) == a.merge(b.merge(c))
    assert a.merge(a) == a == a.merge(DistinctKeysSnapshot())


@given(HASHES)
def test_a_snapshot_survives_json(hashes: list[int]) -> None:
    assert DistinctKeysSnapshot.from_json(of(hashes).to_json()) == of(hashes)


@pytest.mark.parametrize(
    "document", ["", "no base64!", base64.b64encode(bytes(10)).decode(), base64.b64encode(b"\xff" * REGISTERS).decode()]
)
def test_registers_that_cannot_be_are_refused(document: str) -> None:
    with pytest.raises(ValueError, match=r"registers|base64|empty"):
        DistinctKeysSnapshot.from_json(document)
