from __future__ import annotations

import pytest

from services.shared.telemetry.histogram import Histogram


@pytest.mark.parametrize(
    ("value", "counts"),
    [
        (0.0, (1, 0, 0)),
        (1.0, (1, 0, 0)),  # a bound belongs to its own bucket, as Prometheus' `le` says
        (1.5, (0, 1, 0)),
        (2.0, (0, 1, 0)),
        (9.0, (0, 0, 1)),
    ],
)
def test_value_falls_into_the_bucket_of_the_first_bound_that_is_not_below_it(
    value: float, counts: tuple[int, ...]
) -> None:
    histogram = Histogram((1.0, 2.0))
    histogram.observe(value)
    assert histogram.snapshot().counts == counts


def test_one_observation_can_stand_for_many() -> None:
    histogram = Histogram((1.0, 2.0))
    histogram.observe(0.5, 3)
    histogram.observe(4.0)
    snapshot = histogram.snapshot()
    assert (snapshot.count, snapshot.sum, snapshot.cumulative()) == (4, 5.5, (3, 3, 4))


def test_merging_adds_both_and_leaves_them_as_they_were() -> None:
    first, second = Histogram((1.0, 2.0)), Histogram((1.0, 2.0))
    first.observe(0.5)
    second.observe(1.5, 2)
    before = first.snapshot()
    merged = before.merge(second.snapshot())
    assert (merged.counts, merged.sum) == ((1, 2, 0), 3.5)
    assert before == first.snapshot()


def test_a_snapshot_does_not_change_afterwards() -> None:
    histogram = Histogram((1.0,))
    snapshot = histogram.snapshot()
    histogram.observe(0.5)
    assert snapshot.count == 0


def test_histograms_with_other_bounds_are_not_merged() -> None:
    with pytest.raises(ValueError, match="different bounds"):
        Histogram((1.0,)).snapshot().merge(Histogram((2.0,)).snapshot())


@pytest.mark.parametrize("bounds", [(), (1.0, 1.0), (2.0, 1.0)])
def test_bounds_must_ascend(bounds: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="ascend"):
        Histogram(bounds)


def test_many_values_at_once_are_the_same_as_one_by_one() -> None:
    values = [0.00005, 0.0001, 0.3, 31.0, 0.3]
    together, alone = Histogram(), Histogram()
    together.observe_all(values)
    for value in values:
        alone.observe(value)
    assert together.snapshot().counts == alone.snapshot().counts
    assert together.snapshot().sum == pytest.approx(alone.snapshot().sum)
