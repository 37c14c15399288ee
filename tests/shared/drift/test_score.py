"""The index, what chance makes of it, and when it matters."""

from __future__ import annotations

import math

import numpy as np
import pytest

from services.shared.drift.score import FALSE_ALARM, MATTERS, compare


def test_equal_shares_score_less_than_chance_would_make() -> None:
    found = compare([100, 100], [1000, 1000])
    assert found.score == pytest.approx(-(1 / 200 + 1 / 2000))
    assert not found.drifting


def test_the_index_is_the_textbooks_where_there_are_many_pictures() -> None:
    found = compare([300_000, 700_000], [500_000, 500_000])
    by_hand = (0.3 - 0.5) * math.log(0.3 / 0.5) + (0.7 - 0.5) * math.log(0.7 / 0.5)
    assert found.score == pytest.approx(by_hand, abs=1e-4)
    assert found.threshold == MATTERS
    assert found.drifting


def test_a_bin_that_the_reference_lacks_does_not_make_the_score_infinite() -> None:
    assert 1 < compare([200, 0], [0, 400]).score < 20


def test_bins_that_neither_side_has_do_not_count() -> None:
    assert compare([50, 60, 0, 0], [55, 55, 0, 0]) == compare([50, 60], [55, 55])


def test_a_single_bin_never_drifts() -> None:
    assert not compare([200], [300]).drifting


@pytest.mark.parametrize(
    ("bins", "point"), [(2, 12.116), (4, 17.730), (6, 22.105), (10, 29.666), (11, 31.420), (21, 47.498)]
)
def test_few_pictures_must_differ_by_the_chi_squared_point_of_the_tables(bins: int, point: float) -> None:
    few, many = compare([5] * bins, [5] * bins), compare([10_000] * bins, [10_000] * bins)
    assert few.threshold == pytest.approx((point - (bins - 1)) * 2 / (5 * bins), rel=0.05)
    assert many.threshold == MATTERS


@pytest.mark.parametrize(
    ("live", "reference", "bins"), [(200, 360, 10), (200, 5000, 10), (1000, 300, 17), (500, 500, 3)]
)
def test_chance_alone_rarely_passes_the_threshold(live: int, reference: int, bins: int) -> None:
    """Uneven shares, some of them rare: 4000 windows, each against a reference of its own."""
    random = np.random.default_rng(live + reference)
    shares = random.dirichlet(np.full(bins, 2.0))
    rounds = 4000
    ours, theirs = random.multinomial(live, shares, rounds), random.multinomial(reference, shares, rounds)
    alarms = sum(compare(c, k).drifting for c, k in zip(ours.tolist(), theirs.tolist(), strict=True))
    assert alarms / rounds <= 3 * FALSE_ALARM  # a round is 0.00025
