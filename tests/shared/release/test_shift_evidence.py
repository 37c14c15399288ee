from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from services.shared.release.rate_evidence import first_stakes, log_evidence
from services.shared.release.shift_evidence import (
    after_predictions,
    distance_by_chance,
    telling_cells,
    total_variation,
)

CLASSES = np.array([0.3, 0.2, 0.15, 0.1, 0.08, 0.05, 0.04, 0.03, 0.02, 0.02, 0.01])


def test_the_distance_is_the_largest_difference_of_any_set_of_cells() -> None:
    rng = np.random.default_rng(2)
    for _ in range(20):
        c, s = rng.integers(0, 30, 6), rng.integers(0, 30, 6)
        p, q = c / max(c.sum(), 1), s / max(s.sum(), 1)
        largest = max(((p - q) * np.array(cells)).sum() for cells in product((0, 1), repeat=6))
        assert total_variation(c.tolist(), s.tolist()) == pytest.approx(largest)


def test_without_answers_there_is_no_distance() -> None:
    assert total_variation((0, 0, 0), (1, 2, 3)) == 0


def test_the_telling_cells_are_those_with_more_of_the_candidates_answers() -> None:
    assert telling_cells(np.array([5, 5, 0]), np.array([10, 80, 10])).tolist() == [True, False, False]


@pytest.mark.parametrize(("n_c", "n_s"), [(500, 500), (200, 3800)])
def test_identical_arms_show_the_distance_that_chance_makes(n_c: int, n_s: int) -> None:
    rng = np.random.default_rng(4)
    c, s = rng.multinomial(n_c, CLASSES, 4000), rng.multinomial(n_s, CLASSES, 4000)
    pairs = list(zip(c.tolist(), s.tolist(), strict=True))
    shown = np.mean([total_variation(one, other) for one, other in pairs])
    assert np.mean([distance_by_chance(one, other) for one, other in pairs]) == pytest.approx(shown, rel=0.03)


def test_the_answers_that_chose_the_cells_do_not_judge_them() -> None:
    rng = np.random.default_rng(8)
    stakes, past_c, past_s = first_stakes(), np.zeros(11, int), np.zeros(11, int)
    for _ in range(50):  # few answers: the observed distance is far above the limit by chance alone
        c, s = rng.multinomial(5, CLASSES), rng.multinomial(5, CLASSES)
        assert total_variation(c.tolist(), s.tolist()) > 0.01
        stakes = after_predictions(stakes, past_c, past_s, c, s, 0.01)
        past_c, past_s = past_c + c, past_s + s
    assert log_evidence(stakes) < 1


def test_a_constant_class_is_found_in_the_second_block() -> None:
    c, s = 10 * np.eye(11, dtype=int)[3], np.round(200 * CLASSES).astype(int)
    stakes = after_predictions(first_stakes(), c, s, c, s, 0.1)
    assert log_evidence(stakes) > np.log(80)
