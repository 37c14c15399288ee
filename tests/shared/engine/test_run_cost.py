from __future__ import annotations

import math

import pytest

from services.shared.config_pbtxt import parse_config
from services.shared.engine.batch_plan import batch_rules, paying_size
from services.shared.engine.run_cost import RunCost
from tests.support.configs import config_text


@pytest.mark.parametrize(
    ("run_s", "batch", "expected"),
    [
        ({}, 1, math.inf),
        ({1: 0.1}, 1, 0.1),
        ({8: 0.002}, 4, 0.002),  # a smaller one costs no more
        ({8: 0.002}, 16, 0.004),
        ({1: 0.1, 8: 0.2}, 7, 0.2),
        ({1: 0.1, 8: 0.2}, 2, 0.2),
    ],
)
def test_a_size_that_never_ran_goes_by_the_nearest(run_s: dict[int, float], batch: int, expected: float) -> None:
    assert RunCost(run_s).expected_s(batch) == pytest.approx(expected)


def test_newer_runs_move_the_average() -> None:
    cost = RunCost({})
    cost.observe(4, 2, 1.0)
    assert cost.expected_s(4) == 1.0
    cost.observe(4, 2, 2.0)
    assert cost.expected_s(4) == pytest.approx(1.2)
    assert cost.request_s == pytest.approx(0.1 + 0.2 * (1.0 - 0.1))
    for _ in range(100):
        cost.observe(4, 1, 3.0)
    assert (cost.expected_s(4), cost.request_s) == pytest.approx((3.0, 3.0))


@pytest.mark.parametrize(
    ("run_s", "size"),
    [
        ({}, None),
        ({1: 0.0, 2: 0.1}, None),
        ({1: 0.040, 2: 0.079, 4: 0.156}, 1),
        ({1: 0.00005, 8: 0.00028, 16: 0.00056}, 8),
        ({1: 1.0, 2: 1.0, 4: 1.0}, 4),
        ({1: 1.0, 2: 3.0}, 1),
        ({4: 1.0}, 4),
    ],
)
def test_the_size_that_pays(run_s: dict[int, float], size: int | None) -> None:
    assert paying_size(run_s) == size


@pytest.mark.parametrize(
    ("batching", "largest", "joins"),
    [
        ("", 2, True),
        ("preferred_batch_size: [4]", 8, True),
        ("max_queue_delay_microseconds: 100", 8, True),
        (None, 8, False),
    ],
)
def test_only_a_config_that_asks_for_nothing_gets_it(batching: str | None, largest: int, joins: bool) -> None:
    config = parse_config(config_text(max_batch_size=8, batching=batching), name="m")
    rules = batch_rules(config, {1: 0.010, 2: 0.011, 4: 0.022, 8: 0.044})
    assert (rules.max_size, rules.join) == (largest, joins)
