"""Bins are of equal shares, and a value that many pictures share has one of its own."""

from __future__ import annotations

import pytest

from services.shared.drift.bins import BINS, MAX_CLASS_BINS, bin_of, choose_class_edges, choose_edges, count


def test_different_numbers_are_spread_evenly() -> None:
    values = [float(i) for i in range(1000)]
    edges = choose_edges(values)
    assert edges == (99.0, 199.0, 299.0, 399.0, 499.0, 599.0, 699.0, 799.0, 899.0)
    assert count(values, edges) == (100,) * BINS


@pytest.mark.parametrize(
    ("value", "expected"), [(-1.0, 0), (99.0, 0), (99.5, 1), (199.0, 1), (899.0, 8), (900.0, 9), (1e9, 9)]
)
def test_a_bin_ends_with_its_edge(value: float, expected: int) -> None:
    edges = choose_edges([float(i) for i in range(1000)])
    assert bin_of(value, edges) == expected
    assert count([value], edges)[expected] == 1


def test_a_number_that_all_share_is_told_from_smaller_and_larger_ones() -> None:
    edges = choose_edges([28.0] * 50)
    assert [bin_of(value, edges) for value in (8.0, 28.0, 28.0000001, 280.0)] == [0, 1, 1, 2]


def test_a_frequent_number_has_a_bin_of_its_own_among_others() -> None:
    values = [1.0] * 300 + [i / 1000 for i in range(700)]
    edges = choose_edges(values)
    assert count(values, edges)[bin_of(1.0, edges)] == 300
    assert bin_of(1.001, edges) != bin_of(1.0, edges) != bin_of(0.999, edges)


def test_few_classes_have_a_bin_each_and_one_for_none() -> None:
    edges = choose_class_edges([0, 0, 2], 3)
    assert count([-1, 0, 1, 2, 2], edges) == (1, 1, 1, 2)


def test_many_classes_are_joined_to_groups_of_about_equal_share() -> None:
    indices = [i % 1000 for i in range(8000)]
    counts = count(indices, choose_class_edges(indices, 1000))
    assert len(counts) == MAX_CLASS_BINS
    assert max(counts) - min(counts) <= 8


def test_a_class_that_is_a_third_of_many_leaves_the_others_apart() -> None:
    indices = [7] * 400 + [i % 1000 for i in range(800)]
    edges = choose_class_edges(indices, 1000)
    assert bin_of(6, edges) != bin_of(8, edges)
    assert sum(count(indices, edges)) == 1200
