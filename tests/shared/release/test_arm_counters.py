"""What is counted about an arm, and that totals add up in any order."""

import json
import math
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.shared.release.arm_counters import LARGEST_DIFFERENCE, MAX_CLASSES, MAX_ERROR_KINDS, ArmCounters
from services.shared.release.arm_snapshot import ArmSnapshot
from services.shared.release.latency_histogram import LatencySnapshot

HASH = st.integers(0, 2**64 - 1)
ANSWER = st.tuples(st.floats(0, 200), HASH, st.integers(-1, 30), st.floats(0, 1))
ERROR = st.tuples(st.sampled_from(["InferenceFailed", "DeadlineExceeded"]), HASH)
COMPARISON = st.tuples(st.booleans(), st.integers(-1, 30), st.floats(0, 2))
EVENTS = st.lists(st.one_of(ANSWER, ERROR, COMPARISON, st.none(), st.floats(0, 1e20)), max_size=12)
CELLS = tuple(range(10))


def after(events: list[Any], cells: tuple[int, ...] = CELLS) -> ArmSnapshot:
    counters = ArmCounters(cells)
    for event in events:
        match event:
            case (bool(), _, _):
                counters.compare(*event)
            case float():
                counters.differ_by(event)
            case None:
                counters.drop()
            case (str() as kind, key_hash):
                counters.begin()
                counters.observe_error(kind, key_hash)
            case _:
                counters.begin()
                counters.observe(*event)
    return counters.snapshot()


def test_answers_errors_and_comparisons_are_counted() -> None:
    counters = ArmCounters((3, 5))
    for _ in range(5):
        counters.begin()
    counters.observe(0.002, 11, 3, 0.75)
    counters.observe(0.002, 22, 8, 0.25)
    counters.observe_error("InferenceFailed", 33)
    counters.abandon()
    counters.compare(True)
    counters.compare(False)
    found = counters.snapshot()
    assert (found.requests, found.failed, found.errors, found.in_flight) == (3, 1, {"InferenceFailed": 1}, 1)
    assert (found.latency.count, found.latency.sum_ns) == (2, 4_000_000)  # a failure's time is not counted
    assert (found.classes, found.other_classes, found.classified) == ({3: 1, 5: 0}, 1, 2)
    assert (found.confidence_sum, found.confidence_sumsq) == (10_000, 7500**2 + 2500**2)
    assert found.confidence_mean() == 0.5
    assert (found.compared, found.differing) == (2, 1)
    assert found.keys.estimate() == pytest.approx(3, abs=0.1)


def test_comparisons_are_counted_by_the_class_that_stable_gave_too() -> None:
    counters = ArmCounters((3, 5))  # comparisons have classes of their own, whatever the release counts apart
    for differs, stable_top_1, difference in ((False, 7, 0.01), (True, 7, 0.25), (True, 3, 0.5), (False, -1, 0.0)):
        counters.compare(differs, stable_top_1, difference)
    counters.drop()
    found = counters.snapshot()
    assert (found.compared, found.differing, found.largest_difference, found.dropped) == (4, 2, 5000, 1)
    assert (found.compared_by_class, found.differing_by_class) == ({7: 2, 3: 1}, {7: 1, 3: 1})
    assert (found.requests, found.in_flight) == (0, 0)


def test_classes_of_comparisons_are_bounded() -> None:
    counters = ArmCounters()
    for index in range(MAX_CLASSES + 50):
        counters.compare(True, index)
    counters.compare(True, 0)
    found = counters.snapshot()
    assert (found.compared, found.differing) == (MAX_CLASSES + 51, MAX_CLASSES + 51)
    assert len(found.compared_by_class) == len(found.differing_by_class) == MAX_CLASSES
    assert found.differing_by_class[0] == 2


@pytest.mark.parametrize(
    ("difference", "units"),
    [
        (0.0, 0),
        (-1.0, 0),
        (0.00004, 0),
        (0.00006, 1),
        (12.5, 125_000),
        (1e300, LARGEST_DIFFERENCE),
        (math.inf, LARGEST_DIFFERENCE),
        (math.nan, LARGEST_DIFFERENCE),
    ],
)
def test_the_largest_difference_is_kept_in_whole_units(difference: float, units: int) -> None:
    counters = ArmCounters()
    counters.differ_by(difference)
    counters.differ_by(0.0)
    assert counters.snapshot().largest_difference == units


@pytest.mark.parametrize(
    ("confidence", "units"),
    [(0.0, 0), (0.00005, 1), (0.9, 9000), (1.0, 10_000), (7.5, 10_000), (-3.0, 0), (math.nan, 0), (math.inf, 10_000)],
)
def test_a_confidence_is_summed_in_whole_units_within_its_bounds(confidence: float, units: int) -> None:
    found = after([(0.1, 1, 2, confidence)])
    assert (found.confidence_sum, found.confidence_sumsq) == (units, units * units)


def test_answers_without_classes_have_neither_a_class_nor_a_confidence() -> None:
    found = after([(0.1, 1, -1, 0.9)])
    assert (found.requests, found.classified, found.confidence_sum) == (1, 0, 0)
    assert math.isnan(found.confidence_mean())


def test_classes_and_kinds_of_error_are_bounded() -> None:
    counters = ArmCounters()
    for index in range(MAX_CLASSES + 50):
        counters.begin()
        counters.observe(0.1, 1, index, 0.5)
    for kind in range(MAX_ERROR_KINDS + 5):
        counters.begin()
        counters.observe_error(f"kind {kind}", 1)
    found = counters.snapshot()
    assert (len(found.classes), found.other_classes) == (MAX_CLASSES, 50)
    assert (len(found.errors), found.errors["other"], found.failed) == (MAX_ERROR_KINDS + 1, 5, MAX_ERROR_KINDS + 5)


def test_the_most_frequent_classes_are_told_with_the_lower_index_first_among_equals() -> None:
    found = after([(0.1, 1, index, 0.5) for index in (4, 9, 9, 2, 7, 7)], ())
    assert found.most_frequent(3) == (7, 9, 2)
    assert found.most_frequent(10) == (7, 9, 2, 4)
    assert ArmSnapshot().most_frequent(10) == ()


def test_a_snapshot_does_not_change_with_what_comes_after() -> None:
    counters = ArmCounters()
    counters.begin()
    counters.observe(0.1, 1, 1, 0.5)
    before = counters.snapshot()
    as_text = json.dumps(before.to_json())
    counters.begin()
    counters.observe_error("InferenceFailed", 2)
    counters.begin()
    counters.observe(0.1, 3, 1, 0.5)
    assert json.dumps(before.to_json()) == as_text
    assert counters.snapshot().requests == 3


@given(EVENTS, EVENTS, EVENTS)
def test_merging_is_associative_and_commutative_and_equals_counting_in_one_place(
    one: list[Any], two: list[Any], three: list[Any]
) -> None:
    a, b, c = after(one), after(two), after(three)
    assert a.merge(b) == b.merge(a)
    assert a.merge(b).merge(c) == a.merge(b.merge(c)) == after(one + two + three)


@given(EVENTS)
def test_nothing_merged_changes_nothing(events: list[Any]) -> None:
    assert after(events).merge(ArmSnapshot()) == after(events) == ArmSnapshot().merge(after(events))


@given(EVENTS, st.sampled_from([(), CELLS]))
def test_a_snapshot_survives_json_exactly(events: list[Any], cells: tuple[int, ...]) -> None:
    snapshot = after(events, cells)
    for text in (json.dumps(snapshot.to_json()), orjson.dumps(snapshot.to_json())):
        assert ArmSnapshot.from_json(orjson.loads(text)) == snapshot


def test_a_document_of_before_comparisons_by_class_is_read() -> None:
    document = after([(0.1, 1, 2, 0.5)]).to_json()
    for name in ("compared_by_class", "differing_by_class", "largest_difference", "dropped"):
        del document[name]
    assert ArmSnapshot.from_json(document) == after([(0.1, 1, 2, 0.5)])


def test_a_years_totals_fit_into_json_numbers_of_64_bits() -> None:
    """2,000 answers a second for a year, each a second long and wholly confident."""
    answers = 2_000 * 365 * 24 * 3600
    latency = LatencySnapshot(sum_ns=answers * 10**9 // 10)
    year = ArmSnapshot(requests=answers, latency=latency, confidence_sumsq=answers * 10_000**2)
    assert orjson.loads(orjson.dumps(year.to_json())) == year.to_json()
