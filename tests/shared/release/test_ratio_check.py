from __future__ import annotations

import math

import numpy as np
import pytest

from services.shared.release.ratio_check import ALPHA, CONCENTRATION, log_average, log_ratio_evidence


@pytest.mark.parametrize("share", [0.05, 0.5])
@pytest.mark.parametrize("n", [1, 7, 40])
def test_the_bayes_factor_is_one_on_average_under_the_intended_split(share: float, n: int) -> None:
    total = sum(
        math.comb(n, k)
        * share**k
        * (1 - share) ** (n - k)
        * math.exp(log_ratio_evidence((n - k, k), (1 - share, share), error=0.0))
        for k in range(n + 1)
    )
    assert total == pytest.approx(1)


@pytest.mark.parametrize(
    ("keys", "shares"), [((1700, 300), (0.95, 0.05)), ((0, 4), (0.5, 0.5)), ((500, 260, 240), (0.5, 0.25, 0.25))]
)
def test_the_bayes_factor_is_the_one_that_scipys_distributions_give(
    keys: tuple[int, ...], shares: tuple[float, ...]
) -> None:
    stats = pytest.importorskip("scipy.stats")
    prior = [CONCENTRATION * share for share in shares]
    known = stats.dirichlet_multinomial.logpmf(keys, prior, sum(keys)) - stats.multinomial.logpmf(
        keys, sum(keys), shares
    )
    assert log_ratio_evidence(keys, shares, error=0.0) == pytest.approx(float(known))


def test_the_intended_split_is_never_a_mismatch_at_any_of_many_looks() -> None:
    rng = np.random.default_rng(1)
    worst = -math.inf
    for _ in range(200):
        candidate = rng.binomial(20, 0.05, 100).cumsum()
        for look, count in enumerate(candidate, start=1):
            worst = max(worst, log_ratio_evidence((20 * look - count, count), (0.95, 0.05)))
    assert worst < math.log(1 / ALPHA)


@pytest.mark.parametrize(("keys", "shares"), [((1700, 300), (0.95, 0.05)), ((1200, 800), (0.5, 0.5))])
def test_a_wrong_split_is_found(keys: tuple[int, int], shares: tuple[float, float]) -> None:
    assert log_ratio_evidence(keys, shares) > math.log(1 / ALPHA)


def test_the_error_of_the_counters_is_no_mismatch_however_many_keys_there_are() -> None:
    n = 10_000_000
    assert log_ratio_evidence((n * 0.5 * 1.023, n * 0.5 * 0.977), (0.5, 0.5)) < math.log(1 / ALPHA)
    assert log_ratio_evidence((n * 0.5 * 1.3, n * 0.5 * 0.7), (0.5, 0.5)) > math.log(1 / ALPHA)


def test_a_key_where_none_should_be_is_a_mismatch_and_no_keys_are_none() -> None:
    assert log_ratio_evidence((10, 1), (1.0, 0.0)) == math.inf
    assert log_ratio_evidence((10, 0), (1.0, 0.0)) == pytest.approx(0)
    assert log_ratio_evidence((0, 0), (0.5, 0.5)) == pytest.approx(0)


def test_steps_are_averaged_and_never_more_than_the_strongest() -> None:
    assert log_average([]) == -math.inf
    assert log_average([3.0]) == pytest.approx(3.0 - math.log(2))
    assert log_average([3.0, 3.0]) == pytest.approx(3.0 + math.log(1 / 2 + 1 / 6))
    assert log_average([0.0] * 1000) < 0
