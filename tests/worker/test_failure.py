"""What the store is told of a chunk without results."""

from __future__ import annotations

import random

import pytest

from services.shared.errors import (
    DeadlineExceeded,
    InferenceFailed,
    InvalidInput,
    NotFound,
    NotReady,
    Overloaded,
    Unavailable,
)
from services.shared.jobs.base import TOO_LATE
from services.worker.failure import DeadlinePassed, GivenBack, given_back, may_be_news


@pytest.mark.parametrize(
    ("error", "attempt", "strike", "at_least_s", "at_most_s", "reason"),
    [
        (Overloaded("full"), 1, False, 0.5, 1.0, "full"),
        (Overloaded("full", retry_after_s=9.0), 1, False, 9.0, 9.0, "full"),
        (NotReady("loading"), 3, False, 2.0, 4.0, "loading"),
        (DeadlineExceeded("slow"), 2, False, 1.0, 2.0, "slow"),
        (Unavailable("away"), 9, False, 15.0, 30.0, "away"),
        (InferenceFailed("broke"), 1, True, 0.5, 1.0, "broke"),
        (ZeroDivisionError("division by zero"), 1, True, 0.5, 1.0, "ZeroDivisionError: division by zero"),
        (InvalidInput("odd"), 1, False, 0.5, 1.0, "odd"),
        (ValueError("x" * 1000), 1, True, 0.5, 1.0, "ValueError: " + "x" * 488),
    ],
)
def test_who_is_blamed_and_how_long_it_waits(
    error: Exception, attempt: int, strike: bool, at_least_s: float, at_most_s: float, reason: str
) -> None:
    for seed in range(20):
        back = given_back(error, attempt, random.Random(seed))
        assert at_least_s <= back.retry_in_s <= at_most_s
        assert (back.strike, back.reason) == (strike, reason)


def test_a_passed_deadline_is_said_at_once() -> None:
    assert given_back(DeadlinePassed(), 3, random.Random(0)) == GivenBack(0.0, TOO_LATE, strike=False)


@pytest.mark.parametrize(
    ("error", "attempt", "expected"),
    [
        (NotFound("unknown"), 1, True),
        (NotFound("unknown"), 3, True),
        (NotFound("unknown"), 4, False),
        (InvalidInput("odd"), 1, False),
        (None, 1, False),
    ],
)
def test_a_model_that_is_not_known_may_be_news(error: object, attempt: int, expected: bool) -> None:
    assert may_be_news(error, attempt) is expected
