"""Intervals of shares hold the truth at every look, for rare events too."""

from __future__ import annotations

import math

import numpy as np
import pytest

from services.shared.release.estimate import rate_for
from services.shared.release.mean_evidence import Sample
from services.shared.release.share_interval import difference_of_shares, share_interval

RUNS, ALPHA = 300, 0.05
LOOKS = (5, 20, 50, 135, 300, 700, 1500, 3000, 6000, 12000)
MOST_OUTSIDE = ALPHA + 2.6 * math.sqrt(ALPHA * (1 - ALPHA) / RUNS)


def counted(rng: np.random.Generator, share: float) -> np.ndarray:
    """Hits until each of LOOKS, of RUNS."""
    return np.cumsum(rng.binomial(np.diff((0, *LOOKS)), share, (RUNS, len(LOOKS))), axis=1)


def outside(count: int, c: int, s: int, truth: float) -> bool:
    difference = difference_of_shares([(Sample.of_share(count, c), Sample.of_share(count, s))])
    return abs(difference.estimate - truth) > difference.radius(ALPHA, rate_for(difference, ALPHA))


@pytest.mark.parametrize("share", [0.0002, 0.001, 0.01, 0.04, 0.3, 0.999])
def test_a_share_is_inside_at_every_look(share: float) -> None:
    missed = 0
    for hits in counted(np.random.default_rng(1), share).tolist():
        bounds = [share_interval(count, hit, ALPHA) for count, hit in zip(LOOKS, hits, strict=True)]
        missed += any(not low <= share <= high for low, high in bounds)
    assert missed / RUNS <= ALPHA


@pytest.mark.parametrize(
    ("candidate", "stable"), [(0.0002, 0.0002), (0.001, 0.001), (0.01, 0.001), (0.02, 0.0), (0.04, 0.04), (0.3, 0.2)]
)
def test_a_difference_is_inside_at_every_look(candidate: float, stable: float) -> None:
    rng = np.random.default_rng(2)
    missed = 0
    for c, s in zip(counted(rng, candidate).tolist(), counted(rng, stable).tolist(), strict=True):
        looks = zip(LOOKS, c, s, strict=True)
        missed += any(outside(count, one, other, candidate - stable) for count, one, other in looks)
    assert missed / RUNS <= MOST_OUTSIDE


@pytest.mark.parametrize(("count", "hits"), [(135, 0), (135, 135), (1, 0), (100_000, 3), (10**9, 5 * 10**8)])
def test_an_interval_holds_what_was_seen_and_has_a_width(count: int, hits: int) -> None:
    low, high = share_interval(count, hits, 0.01)
    assert 0 <= low <= hits / count <= high <= 1
    assert high - low > 1e-9


def test_no_error_in_135_answers_is_no_proof_of_none() -> None:
    low, high = share_interval(135, 0, 0.01)
    assert low == 0
    assert 0.03 < high < 0.06
    none = difference_of_shares([(Sample.of_share(135, 0), Sample.of_share(135, 0))])
    assert none.radius(0.01, rate_for(none, 0.01)) > 0.02


def test_of_nothing_everything_is_possible() -> None:
    assert share_interval(0, 0, 0.01) == (0.0, 1.0)
    assert difference_of_shares([]).radius(0.01, 1.0) == math.inf
