"""What is tried again, how often, and when: tables."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.shared.errors import (
    DeadlineExceeded,
    InferenceFailed,
    InvalidInput,
    NotFound,
    NotReady,
    Overloaded,
    Unavailable,
    UndecodableImage,
)
from services.shared.jobs.retry import Backoff, Caps, Fate, Remedy, backoff_s, fate_of, remedy_for


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (Overloaded("full"), Remedy.WAIT),
        (NotReady("loading"), Remedy.WAIT),
        (Unavailable("away"), Remedy.WAIT),
        (DeadlineExceeded("late"), Remedy.WAIT),
        (InferenceFailed("broke"), Remedy.SUSPECT),
        (UndecodableImage("no image"), Remedy.NONE),
        (InvalidInput("wrong"), Remedy.NONE),
        (NotFound("no model"), Remedy.NONE),
        (ZeroDivisionError(), Remedy.SUSPECT),
        (MemoryError(), Remedy.SUSPECT),
    ],
)
def test_what_may_help(error: Exception, expected: Remedy) -> None:
    assert remedy_for(error) is expected


@pytest.mark.parametrize(
    ("size", "attempt", "strikes", "expected"),
    [
        (4, 1, 0, Fate.RETRY),
        (4, 9, 2, Fate.RETRY),
        (4, 3, 3, Fate.SPLIT),
        (1, 3, 3, Fate.BURY),
        (4, 10, 0, Fate.BURY),
        (4, 10, 3, Fate.SPLIT),
        (1, 11, 0, Fate.BURY),
    ],
)
def test_what_becomes_of_a_chunk(size: int, attempt: int, strikes: int, expected: Fate) -> None:
    assert fate_of(size, attempt, strikes, Caps(strikes=3, attempts=10)) is expected


@given(attempt=st.integers(1, 5000), seed=st.integers(0, 2**32))
def test_a_backoff_doubles_and_stays_within_its_bounds(attempt: int, seed: int) -> None:
    whole = min(30.0, 2.0 ** min(attempt - 1, 60))
    assert whole / 2 <= backoff_s(attempt, random.Random(seed)) <= whole


def test_what_failed_together_does_not_come_back_together() -> None:
    source = random.Random(1)
    assert len({backoff_s(3, source) for _ in range(20)}) == 20
    assert backoff_s(3, random.Random(7)) == backoff_s(3, random.Random(7))


def test_an_error_that_says_when_to_come_back_is_believed() -> None:
    rule = Backoff(first_s=1.0, longest_s=4.0)
    assert backoff_s(1, random.Random(1), Overloaded("full", retry_after_s=12.0), rule) == 12.0
    assert backoff_s(3, random.Random(1), Overloaded("full", retry_after_s=0.1), rule) >= 2.0
    assert backoff_s(9, random.Random(1), ValueError(), rule) <= 4.0
