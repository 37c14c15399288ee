"""Latencies in log-spaced buckets: how near, how far, and adding up."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.shared.release.latency_histogram import (
    BUCKETS,
    GROWTH,
    HIGHEST_S,
    LOWEST_S,
    LatencyHistogram,
    LatencySnapshot,
    upper_bound_s,
)

IN_RANGE = st.floats(LOWEST_S, 100.0)


def of(*latencies_s: float) -> LatencySnapshot:
    histogram = LatencyHistogram()
    for latency_s in latencies_s:
        histogram.observe(latency_s)
    return histogram.snapshot()


@given(IN_RANGE)
def test_a_value_lies_in_its_bucket_to_within_rounding(latency_s: float) -> None:
    bucket = of(latency_s).counts.index(1)
    assert upper_bound_s(bucket - 1) * (1 - 1e-9) <= latency_s <= upper_bound_s(bucket) * (1 + 1e-9)


@given(IN_RANGE)
def test_a_value_is_told_to_within_two_and_a_half_percent(latency_s: float) -> None:
    assert of(latency_s).quantile_s(0.5) == pytest.approx(latency_s, rel=math.sqrt(GROWTH) - 1 + 1e-9)


@pytest.mark.parametrize(
    ("latency_s", "bucket"),
    [
        (-1.0, 0),
        (0.0, 0),
        (9.99e-6, 0),
        (LOWEST_S * 1.01, 1),
        (LOWEST_S * GROWTH * 1.01, 2),
        (100.0, BUCKETS - 2),
        (HIGHEST_S, BUCKETS - 1),
        (1e6, BUCKETS - 1),
    ],
)
def test_values_beyond_the_range_have_buckets_of_their_own(latency_s: float, bucket: int) -> None:
    assert of(latency_s).counts.index(1) == bucket


def test_the_range_is_from_ten_microseconds_to_a_hundred_seconds() -> None:
    assert LOWEST_S == 1e-5
    assert HIGHEST_S / GROWTH < 100.0 <= HIGHEST_S
    assert math.isinf(upper_bound_s(BUCKETS - 1))


@given(st.integers(1, BUCKETS - 2))
def test_no_rounding_puts_a_bound_out_of_reach(bucket: int) -> None:
    """Values just beside every bound: the index stays in the list, and in one of the two buckets that meet there."""
    for latency_s in (math.nextafter(upper_bound_s(bucket), side) for side in (0.0, math.inf)):
        assert of(latency_s).counts.index(1) in (bucket, bucket + 1)


@pytest.mark.parametrize("q", [0.01, 0.5, 0.95, 0.99, 1.0])
def test_a_quantile_is_near_the_samples_own(q: float) -> None:
    sample = np.random.default_rng(0).lognormal(-5, 1, 10_001)
    exact = float(np.quantile(sample, q, method="inverted_cdf"))
    assert of(*sample.tolist()).quantile_s(q) == pytest.approx(exact, rel=0.025)


def test_quantiles_at_the_ends_and_of_nothing() -> None:
    assert math.isnan(LatencySnapshot().quantile_s(0.5))
    assert of(0.0).quantile_s(0.5) == LOWEST_S
    assert of(1000.0).quantile_s(0.5) == HIGHEST_S
    assert of(0.001, 0.1).quantile_s(0.0) == pytest.approx(0.001, rel=0.025)
    assert of(0.001, 0.1).quantile_s(0.5) == pytest.approx(0.001, rel=0.025)
    assert of(0.001, 0.1).quantile_s(0.51) == pytest.approx(0.1, rel=0.025)


@given(st.lists(st.floats(0, 200), max_size=20), st.lists(st.floats(0, 200), max_size=20))
def test_merged_is_what_one_histogram_of_all_would_be(one: list[float], other: list[float]) -> None:
    together = of(*one, *other)
    assert of(*one).merge(of(*other)) == of(*other).merge(of(*one)) == together
    assert together.count == len(one) + len(other)
    assert together.sum_ns == sum(int(value * 1e9) for value in one + other)


@given(st.lists(st.floats(0, 200), max_size=20))
def test_a_snapshot_survives_json(latencies_s: list[float]) -> None:
    snapshot = of(*latencies_s)
    assert LatencySnapshot.from_json(json.loads(json.dumps(snapshot.to_json()))) == snapshot


@pytest.mark.parametrize("bucket", [-1, BUCKETS])
def test_a_bucket_that_cannot_be_is_refused(bucket: int) -> None:
    with pytest.raises(ValueError, match="no latency bucket"):
        LatencySnapshot.from_json({"sum_ns": 1, "counts": [[bucket, 1]]})
