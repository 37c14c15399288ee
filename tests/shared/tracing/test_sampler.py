import random
from itertools import pairwise

import pytest

from services.shared.tracing.sampler import Sampler

ASKED = 200_000


@pytest.mark.parametrize("share", [0.001, 0.01, 0.3, 0.9])
def test_the_share_is_taken_by_chance(share: float) -> None:
    sampler = Sampler(share, random.Random(7))
    taken = [sampler.take() for _ in range(ASKED)]
    spread = (ASKED * share * (1 - share)) ** 0.5
    assert abs(sum(taken) - ASKED * share) < 5 * spread
    both = sum(a and b for a, b in pairwise(taken))  # one says nothing of the next
    assert abs(both - ASKED * share**2) < 5 * (ASKED * share**2) ** 0.5 + 1


def test_none_and_all() -> None:
    none, everyone = Sampler(0.0), Sampler(1.0)
    assert not any(none.take() for _ in range(1000))
    assert all(everyone.take() for _ in range(1000))


def test_what_was_promised_is_taken_once() -> None:
    sampler = Sampler(0.5, random.Random(3))
    promised = sum(sampler.promise() for _ in range(100))
    assert promised > 20
    silent = Sampler(0.0)
    assert not silent.promise()
    assert all(sampler.take() for _ in range(promised))
    assert not all(sampler.take() for _ in range(100))


def test_who_is_asked_about_twice_is_counted_once() -> None:
    once, twice = Sampler(0.01, random.Random(5)), Sampler(0.01, random.Random(5))
    for _ in range(5000):
        if twice.promise():
            assert twice.take()
            assert once.take()
            continue
        twice.take_back()
        assert twice.take() is once.take() is False
