from __future__ import annotations

import pytest

from services.shared.release.ab_test import AbPlan, Winner, compare, fixed_sample_size
from services.shared.release.mean_evidence import Sample


@pytest.mark.parametrize(
    ("base", "lift", "alpha", "power", "size"),
    # R 4: power.prop.test(p1 = .50, p2 = .75, power = .90) gives 76.7 for each group (its own example).
    [(0.5, 0.25, 0.05, 0.9, 77)],
)
def test_the_fixed_sample_size_is_the_known_one(
    base: float, lift: float, alpha: float, power: float, size: int
) -> None:
    assert fixed_sample_size(base, lift, alpha, power) == size


@pytest.mark.parametrize(
    ("hits_c", "hits_s", "winner"),
    [(3900, 3500, Winner.CANDIDATE), (3500, 3900, Winner.STABLE), (3510, 3500, Winner.OPEN)],
)
def test_a_winner_needs_evidence(hits_c: int, hits_s: int, winner: Winner) -> None:
    result = compare(AbPlan(5000, 0.21), [(Sample.of_share(5000, hits_c), Sample.of_share(5000, hits_s))])
    assert result.winner is winner
    assert result.interval[0] < result.lift < result.interval[1]
    assert (result.e_value >= 20) == (winner is not Winner.OPEN)
    assert (result.interval[0] > 0 or result.interval[1] < 0) == (winner is not Winner.OPEN)


def test_it_is_too_early_with_a_few_values() -> None:
    result = compare(AbPlan(5000, 0.21), [(Sample.of_share(99, 99), Sample.of_share(500, 0))])
    assert result.winner is Winner.OPEN
    assert result.sentence.startswith("too early")


def test_more_comparisons_ask_for_more_evidence() -> None:
    alone, among = AbPlan(5000, 0.21), AbPlan(5000, 0.21, comparisons=3)
    strata = [(Sample.of_share(5000, 3640), Sample.of_share(5000, 3500))]
    assert compare(alone, strata).interval[0] > compare(among, strata).interval[0]
