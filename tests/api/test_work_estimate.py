"""What a request costs, told from how fast requests complete: by hand, and for any course of events."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.api.work_estimate import COLD_S, RequestKind, WorkEstimate

BUSY_FROM = 4


class Course:
    """Requests that come and go in simulated time."""

    def __init__(self) -> None:
        self.estimate = WorkEstimate(BUSY_FROM)
        self.now_s = 1000.0
        self._there: list[tuple[RequestKind, float]] = []

    def come(self, kind: str, count: int = 1) -> None:
        for _ in range(count):
            self._there.append((self.estimate.expect(kind), self.now_s))
            self.estimate.begin(self.now_s)

    def go(self, *, worked: bool = True) -> None:
        """The one that came first."""
        kind, began_s = self._there.pop(0)
        self.estimate.end(kind, began_s, self.now_s, worked=worked)

    def flow(self, seconds: float, kinds: dict[str, float], *, of_which: int = 1) -> None:
        """Requests of those kinds in turn, one kind after the other, each for its seconds, `of_which` at a time."""
        end_s = self.now_s + seconds
        while self.now_s < end_s:
            for _ in range(len(kinds)):
                first = str(self._there[0][0].name)
                self.now_s += kinds[first] * of_which
                for _ in range(of_which):
                    self.go()
                    self.come(first)


@pytest.mark.parametrize("cost_s", [0.0001, 0.004, 0.05, 0.4, 3.0])
@pytest.mark.parametrize("together", [1, 8])
def test_the_cost_is_the_time_between_two_completions_of_a_busy_process(cost_s: float, together: int) -> None:
    course = Course()
    course.come("a", 16)
    course.flow(max(2.0, 12 * cost_s * together), {"a": cost_s}, of_which=together)
    assert course.estimate.cost_s("a") == pytest.approx(cost_s, rel=0.02)
    assert course.estimate.expected_s == pytest.approx(16 * cost_s, rel=0.02)


@pytest.mark.parametrize(("before_s", "after_s"), [(0.001, 0.1), (0.1, 0.001), (0.01, 0.02), (0.02, 0.01)])
def test_a_change_is_learned_within_three_seconds(before_s: float, after_s: float) -> None:
    course = Course()
    course.come("a", 16)
    course.flow(3.0, {"a": before_s})
    course.flow(3.0, {"a": after_s})
    assert course.estimate.cost_s("a") == pytest.approx(after_s, rel=0.1)


def test_what_a_mix_takes_together_is_right_and_its_parts_keep_the_proportion_known_from_calmer_times() -> None:
    course = Course()
    for kind, took_s in (("cheap", 0.002), ("dear", 0.2)) * 40:
        course.come(kind)
        course.now_s += took_s
        course.go()
    course.come("cheap", 8)
    course.come("dear", 8)
    course.flow(10.0, {"cheap": 0.001, "dear": 0.1})
    assert course.estimate.expected_s == pytest.approx(8 * 0.101, rel=0.25)
    assert course.estimate.cost_s("dear") > 10 * course.estimate.cost_s("cheap")


def test_one_slow_request_among_many_moves_its_kind_by_a_bounded_step() -> None:
    course = Course()
    course.come("a", 16)
    course.flow(2.0, {"a": 0.001})
    course.now_s += 30.0
    course.flow(0.004, {"a": 0.001})
    assert course.estimate.cost_s("a") <= 0.001 * 4.1
    course.flow(1.0, {"a": 0.001})
    assert course.estimate.cost_s("a") == pytest.approx(0.001, rel=0.05)


def test_few_requests_tell_no_more_than_an_upper_bound() -> None:
    course = Course()
    for took_s, expected_s in [(0.4, COLD_S), (2 * COLD_S, COLD_S), (COLD_S / 10, None)]:
        for _ in range(40):
            course.come("a")
            course.now_s += took_s
            course.go()
        assert course.estimate.cost_s("a") == pytest.approx(took_s if expected_s is None else expected_s, rel=0.01)


def test_an_upload_is_expected_but_is_not_work() -> None:
    course = Course()
    uploads = [course.estimate.expect("a") for _ in range(50)]
    assert course.estimate.expected_s == pytest.approx(50 * COLD_S)
    course.come("a", BUSY_FROM - 1)
    course.now_s += 60.0
    for _ in range(BUSY_FROM - 1):
        course.go()
    for kind in uploads:
        course.estimate.end(kind, None, course.now_s, worked=False)
    assert course.estimate.cost_s("a") == COLD_S
    assert course.estimate.expected_s == pytest.approx(0.0, abs=1e-9)


def test_what_was_not_computed_tells_nothing_and_is_not_remembered() -> None:
    course = Course()
    for number in range(5000):
        course.come(f"unknown {number}", 8)
        course.now_s += 0.1
        for _ in range(8):
            course.go(worked=False)
    assert not course.estimate._kinds


def test_kinds_are_bounded_in_number_and_those_in_flight_are_kept() -> None:
    course = Course()
    course.come("mine", 1)
    for number in range(3000):
        kind = course.estimate.expect(number)
        course.estimate.begin(course.now_s)
        course.now_s += 0.001
        course.estimate.end(kind, course.now_s - 0.001, course.now_s, worked=True)
    assert len(course.estimate._kinds) <= 1024
    assert "mine" in course.estimate._kinds


EVENTS = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(0, 2), st.floats(0.0, 20.0), st.booleans()), max_size=300
)


@given(EVENTS)
def test_whatever_happens_costs_stay_positive_and_the_sum_is_that_of_what_is_in_flight(
    events: list[tuple[str, int, float, bool]],
) -> None:
    course = Course()
    for kind, action, seconds, worked in events:
        course.now_s += seconds
        if action or not course._there:
            course.come(kind)
        else:
            course.go(worked=worked)
        kinds = course.estimate._kinds.values()
        assert all(0 < each.cost_s < 1e6 and math.isfinite(each.cost_s) for each in kinds)
        in_flight = sum(each.in_flight for each in kinds)
        assert in_flight == len(course._there)
        assert course.estimate.expected_s == pytest.approx(sum(k.in_flight * k.cost_s for k in kinds), abs=1e-6)
    while course._there:
        course.go()
    assert course.estimate.expected_s == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("spread_s", [0.0, 0.005])
def test_a_large_batch_that_completes_together_does_not_make_each_of_its_requests_dear(spread_s: float) -> None:
    """Behind a model server 32 pictures take 1.6 s and end in the same instant, or while their answers are written."""
    course = Course()
    course.come("a", 8)
    course.flow(3.0, {"a": 0.05})
    course.come("a", 24)
    for _ in range(5):
        course.now_s += 32 * 0.05
        for _ in range(32):
            course.now_s += spread_s / 32
            course.go()
            course.come("a")
            assert course.estimate.cost_s("a") == pytest.approx(0.05, rel=0.3)


@pytest.mark.parametrize("together", [2, 4, 8])
def test_batches_of_as_many_requests_as_make_a_process_busy_are_counted_whole(together: int) -> None:
    course = Course()
    course.come("a", max(together, BUSY_FROM))
    for _ in range(30):
        course.now_s += together * 0.1
        for _ in range(together):
            course.now_s += 0.0003  # while an answer is written
            course.go()
        course.come("a", together)
    assert course.estimate.cost_s("a") == pytest.approx(0.1, rel=0.1)
