from __future__ import annotations

import numpy as np
import pytest

from services.shared.release.latency_histogram import BUCKETS, GROWTH, LatencyHistogram, upper_bound_s
from services.shared.release.quantile_evidence import (
    above,
    after_latencies,
    log_quantile_evidence,
    quantile_bucket,
    random_half,
    shifted,
)
from services.shared.release.rate_evidence import first_stakes


def counts_of(latencies_s: np.ndarray) -> np.ndarray:
    histogram = LatencyHistogram()
    for latency_s in latencies_s:
        histogram.observe(float(latency_s))
    return np.array(histogram.snapshot().counts)


@pytest.mark.parametrize("q", [0.01, 0.5, 0.9, 0.95, 0.99])
def test_the_bucket_of_a_quantile_is_the_one_that_the_histogram_names(q: float) -> None:
    histogram = LatencyHistogram()
    for latency_s in np.random.default_rng(1).lognormal(-4, 0.5, 777):
        histogram.observe(float(latency_s))
    snapshot = histogram.snapshot()
    bucket = int(quantile_bucket(np.array(snapshot.counts), q))
    assert snapshot.quantile_s(q) == pytest.approx(upper_bound_s(bucket) / GROWTH**0.5)


def test_no_values_have_their_quantile_in_the_first_bucket() -> None:
    assert quantile_bucket(np.zeros(BUCKETS, int), 0.95) == 0


@pytest.mark.parametrize(
    ("bucket", "ratio", "cut"),
    [
        (100, 1.0, 100),
        (100, 1.05, 101),
        (100, 1.0501, 102),
        (100, 1.2, 104),
        (100, 1.5, 109),
        (BUCKETS - 2, 2.0, BUCKETS - 1),
    ],
)
def test_the_cut_is_rounded_up_in_the_candidates_favour(bucket: int, ratio: float, cut: int) -> None:
    assert shifted(np.array(bucket), ratio) == cut


def test_above_counts_what_lies_in_later_buckets() -> None:
    assert above(np.array([[1, 2, 3, 4], [5, 0, 0, 1]]), np.array([1, 2])).tolist() == [7, 1]


def test_a_random_half_is_half_of_the_values_always_the_same_and_favours_no_bucket() -> None:
    rng = np.random.default_rng(9)
    difference = np.zeros(8)
    for _ in range(400):
        counts = rng.multinomial(61, np.arange(1, 9) / 36)
        half = np.array(random_half(counts.tolist()))
        assert half.sum() == 30
        assert (half <= counts).all()
        assert random_half(counts.tolist()) == tuple(half)
        difference += half - counts * 30 / 61
    assert np.abs(difference / 400).max() < 0.3  # a bucket's half has a standard deviation of 1.6 at most


def run(c: np.ndarray, s: np.ndarray, blocks: int) -> float:
    stakes, past = first_stakes((2,)), counts_of(s[:200])
    for new_c, new_s in zip(np.split(c, blocks), np.split(s[200:], blocks), strict=True):
        counted = counts_of(new_s)
        stakes = after_latencies(stakes, past, counts_of(new_c), counted, 0.95, 1.2)
        past = past + counted
    return float(log_quantile_evidence(stakes))


def test_twice_as_slow_is_found_and_as_slow_as_allowed_is_not() -> None:
    rng = np.random.default_rng(5)
    c, s = rng.lognormal(-4, 0.4, 400), rng.lognormal(-4, 0.4, 4200)
    assert run(2 * c, s, 20) > 10
    assert run(1.2 * c, s, 20) < 3


def test_another_shape_with_its_quantile_within_the_limit_is_no_evidence() -> None:
    s = np.random.default_rng(6).lognormal(-4, 0.4, 4200)
    c = np.full(400, 1.2 * np.quantile(s, 0.95) / GROWTH**2)
    assert run(c, s, 20) < 0.5
