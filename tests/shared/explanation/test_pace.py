"""How much an explanation asks of a model."""

from __future__ import annotations

import pytest

from services.shared.explanation.pace import at_once, is_enough, planned, rest_s


@pytest.mark.parametrize(
    ("asked", "each_s", "count"),
    [
        (None, 0.0001, 400),  # tiny: the most
        (None, 0.01, 200),  # two seconds
        (None, 0.05, 64),  # slow: the least
        (None, 0.0, 400),  # a clock too coarse
        (16, 0.05, 16),
        (2000, 0.05, 2000),
    ],
)
def test_what_is_not_asked_for_follows_the_models_speed(asked: int | None, each_s: float, count: int) -> None:
    assert planned(asked, each_s) == count


@pytest.mark.parametrize(
    ("each_s", "largest", "size"),
    [(0.0001, 64, 64), (0.0001, 50, 32), (0.004, 64, 4), (0.02, 64, 1), (0.5, 64, 1), (0.001, 1, 1), (0.0, 8, 8)],
)
def test_a_run_is_brief_and_of_a_size_that_was_warmed_up(each_s: float, largest: int, size: int) -> None:
    assert at_once(each_s, largest) == size


@pytest.mark.parametrize(
    ("asked", "done", "elapsed_s", "enough"),
    [(None, 64, 6.0, True), (None, 63, 60.0, False), (None, 300, 5.9, False), (100, 99, 60.0, False)],
)
def test_beside_others_the_least_is_enough_after_a_while(
    asked: int | None, done: int, elapsed_s: float, enough: bool
) -> None:
    assert is_enough(asked, done, elapsed_s) is enough


@pytest.mark.parametrize(("ran_s", "rest"), [(0.0, 0.0), (0.02, 0.06), (1.0, 0.25)])
def test_others_have_three_quarters_of_the_time(ran_s: float, rest: float) -> None:
    assert rest_s(ran_s) == pytest.approx(rest)
