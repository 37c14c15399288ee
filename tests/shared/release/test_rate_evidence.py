from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.shared.release.quantile_evidence import prior_of
from services.shared.release.rate_evidence import (
    EFFECTS,
    RATES,
    Block,
    Line,
    after_block,
    first_stakes,
    log_evidence,
    log_factor,
    nearest_null,
)


def block(n_c: int, x_c: int, n_s: int, x_s: int) -> Block:
    return Block(*(np.array(number) for number in (n_c, x_c, n_s, x_s)))


def expected_factors(n_c: int, n_s: int, p_c: float, p_s: float, expected_s: float, line: Line) -> np.ndarray:
    """The exact expectation of each alternative's factor: the sum over every outcome of a block."""
    total = np.zeros(len(EFFECTS))
    for x_c, x_s in product(range(n_c + 1), range(n_s + 1)):
        chance = math.comb(n_c, x_c) * p_c**x_c * (1 - p_c) ** (n_c - x_c)
        chance *= math.comb(n_s, x_s) * p_s**x_s * (1 - p_s) ** (n_s - x_s)
        total += chance * np.exp(log_factor(block(n_c, x_c, n_s, x_s), np.array(expected_s), line))
    return total


@pytest.mark.parametrize("line", [Line(1, 0.005), Line(1, 0.0), Line(1, 0.1), Line(0, 0.02), Line(1.5, 0.0)])
@pytest.mark.parametrize("p_s", [0.0, 0.005, 0.05, 0.3])
@pytest.mark.parametrize("expected_s", [0.001, 0.05, 0.4])
@pytest.mark.parametrize("sizes", [(4, 9), (9, 4), (1, 12)])
def test_a_block_gains_nothing_on_average_at_the_limit(
    line: Line, p_s: float, expected_s: float, sizes: tuple[int, int]
) -> None:
    p_c = min(float(line.slope * p_s + line.offset), 1.0)
    assert expected_factors(*sizes, p_c, p_s, expected_s, line).max() <= 1 + 1e-7


@settings(deadline=None, max_examples=60)
@given(
    st.integers(1, 6),
    st.integers(1, 6),
    st.floats(0, 1),
    st.floats(0, 1),
    st.floats(0, 1),
    st.floats(0, 0.3),
    st.floats(0.2, 2.0),
)
def test_a_block_gains_nothing_on_average_anywhere_in_the_null(
    n_c: int, n_s: int, p_s: float, part: float, expected_s: float, offset: float, slope: float
) -> None:
    p_c = part * min(slope * p_s + offset, 1.0)
    assert expected_factors(n_c, n_s, p_c, p_s, expected_s, Line(slope, offset)).max() <= 1 + 1e-6


@pytest.mark.parametrize(
    ("n_c", "c", "n_s", "s", "line"),
    [
        (10, 0.05, 190, 0.005, Line(1, 0.005)),
        (100, 0.30, 100, 0.1, Line(1, 0.01)),
        (1, 0.95, 5000, 0.001, Line(1, 0.1)),
        (50, 0.4, 50, 0.1, Line(1.5, 0.02)),
        (3, 0.2, 100_000, 1e-6, Line(1, 0.0)),
        (100_000, 0.2, 3, 1e-6, Line(1, 0.0)),
        (7, 0.06, 9, 0.05, Line(0.5, 0.03)),
        (20, 0.999, 20, 0.98, Line(1, 0.01)),
    ],
)
def test_the_nearest_member_of_the_null_is_the_one_a_search_finds(
    n_c: int, c: float, n_s: int, s: float, line: Line
) -> None:
    q = np.linspace(s, (c - line.offset) / line.slope, 2_000_001)[1:-1]
    at = line.slope * q + line.offset
    cost = -n_c * (c * np.log(at) + (1 - c) * np.log(1 - at)) - n_s * (s * np.log(q) + (1 - s) * np.log(1 - q))
    found = nearest_null(np.array([float(n_c)]), np.array([c]), np.array([float(n_s)]), np.array([s]), line)
    assert found[0] == pytest.approx(q[cost.argmin()], abs=2e-6)


def test_without_a_slope_stable_is_left_where_it_is() -> None:
    n_c, c, n_s, s = (np.array([number]) for number in (10.0, 0.3, 50.0, 0.2))
    assert nearest_null(n_c, c, n_s, s, Line(0, 0.05)) == s


@pytest.mark.parametrize("prior", [RATES, prior_of(0.5), prior_of(0.95)])
def test_whatever_the_bets_begin_with_is_one_together(prior: np.ndarray) -> None:
    assert log_evidence(first_stakes((3,), prior)) == pytest.approx([0, 0, 0], abs=1e-12)


def test_tests_with_different_limits_are_judged_together_as_each_alone() -> None:
    lines = [Line(1, 0.005), Line(1, 0.0), Line(0, 0.05), Line(1.5, 0.02)]
    blocks = [block(10, 3, 190, 1), block(10, 2, 100, 4), block(10, 2, 0, 0), block(4, 0, 9, 9)]
    expected = np.array([0.005, 0.05, 0.2, 0.4])
    slopes, offsets = (np.array([getattr(line, name) for line in lines]) for name in ("slope", "offset"))
    many = Block(*(np.array([getattr(one, name) for one in blocks]) for name in ("n_c", "x_c", "n_s", "x_s")))
    together = after_block(first_stakes((4,)), many, expected, Line(slopes, offsets))
    for i, (one, line) in enumerate(zip(blocks, lines, strict=True)):
        assert together[i] == pytest.approx(after_block(first_stakes(), one, expected[i], line))


def test_the_stakes_are_one_before_the_first_block_and_a_block_of_nothing_changes_no_evidence() -> None:
    stakes = first_stakes()
    assert log_evidence(stakes) == pytest.approx(0, abs=1e-12)
    for empty in (block(0, 0, 0, 0), block(0, 0, 50, 3), block(50, 20, 0, 0)):
        assert log_evidence(after_block(stakes, empty, np.array(0.01), Line(1, 0.005))) == pytest.approx(0, abs=1e-12)


def test_an_absolute_limit_needs_no_stable_answers() -> None:
    bad = after_block(first_stakes(), block(20, 10, 0, 0), np.array(0.0), Line(0, 0.02))
    assert log_evidence(bad) > math.log(1000)


@pytest.mark.parametrize("line", [Line(1, 0.005), Line(0, 0.02)])
def test_each_bad_answer_of_the_candidate_is_evidence(line: Line) -> None:
    gains = [log_factor(block(20, x_c, 300, 3), np.array(0.01), line) for x_c in range(21)]
    assert (np.diff(gains, axis=0) > 0).all()


def test_each_bad_answer_of_stable_is_evidence_for_the_candidate() -> None:
    gains = [log_factor(block(20, 4, 30, x_s), np.array(0.01), Line(1, 0.005)) for x_s in range(31)]
    assert (np.diff(gains, axis=0) < 0).all()


def test_what_is_kept_in_hand_bounds_the_debt_of_good_hours() -> None:
    stakes = first_stakes()
    for _ in range(480):
        stakes = after_block(stakes, block(100, 0, 100, 0), np.array(0.001), Line(1, 0.005))
    assert log_evidence(stakes) > math.log(0.02)


def test_many_releases_at_once_are_judged_as_each_alone() -> None:
    rng = np.random.default_rng(3)
    n_c, n_s = rng.integers(1, 50, 5), rng.integers(1, 500, 5)
    x_c, x_s = rng.integers(0, n_c), rng.integers(0, n_s)
    expected = rng.random(5) / 2
    together = after_block(first_stakes((5,)), Block(n_c, x_c, n_s, x_s), expected, Line(1, 0.01))
    for i in range(5):
        alone = after_block(first_stakes(), block(n_c[i], x_c[i], n_s[i], x_s[i]), expected[i], Line(1, 0.01))
        assert together[i] == pytest.approx(alone, abs=1e-6)
