"""Who gets a place, by priority, by number, by bytes and by what is expected to be in front."""

from __future__ import annotations

import contextlib
import math

import pytest

from services.api.admission import Admission, AdmissionLimits, Lack, Place
from services.api.admission_metrics import render_admission
from services.api.work_estimate import COLD_S
from services.shared.clock import ManualClock
from services.shared.errors import Overloaded
from services.shared.priority import Priority

HIGH, NORMAL, LOW = Priority.HIGH, Priority.NORMAL, Priority.LOW


def room(max_requests: int = 512, max_bytes: int = 10**9, max_wait_s: float = math.inf, cores: int = 1) -> Admission:
    return Admission(AdmissionLimits(max_requests, max_bytes, max_wait_s), ManualClock(), cores=cores)


def fill(admission: Admission, body_bytes: int, priority: Priority) -> list[Place]:
    """Places until there is none."""
    places: list[Place] = []
    try:
        while len(places) < 10_000:
            places.append(admission.enter("kind", body_bytes, priority))
    except Overloaded:
        return places
    raise AssertionError("it never said no")


@pytest.mark.parametrize(
    ("max_requests", "places"),
    [
        (10, {HIGH: 10, NORMAL: 9, LOW: 5}),
        (512, {HIGH: 512, NORMAL: 460, LOW: 256}),
        (3, {HIGH: 3, NORMAL: 2, LOW: 1}),
        (1, {HIGH: 1, NORMAL: 1, LOW: 1}),  # one place is for everybody
    ],
)
def test_each_priority_may_fill_its_share_of_the_places(max_requests: int, places: dict[Priority, int]) -> None:
    for priority, count in places.items():
        assert len(fill(room(max_requests=max_requests), 0, priority)) == count


@pytest.mark.parametrize(
    ("body_bytes", "places"), [(10, {HIGH: 10, NORMAL: 9, LOW: 5}), (30, {HIGH: 3, NORMAL: 3, LOW: 1})]
)
def test_each_priority_may_fill_its_share_of_the_bytes(body_bytes: int, places: dict[Priority, int]) -> None:
    for priority, count in places.items():
        assert len(fill(room(max_bytes=100), body_bytes, priority)) == count


def test_what_matters_less_is_refused_first_and_room_is_left_for_what_matters_most() -> None:
    admission = room(max_requests=10)
    assert [len(fill(admission, 0, priority)) for priority in (LOW, NORMAL, HIGH)] == [5, 4, 1]
    assert admission.requests == 10
    assert admission.refused == 3


def test_a_refusal_says_when_to_try_again_and_takes_no_room() -> None:
    admission = room(max_requests=1, max_bytes=10)
    admission.enter("kind", 3, HIGH)
    with pytest.raises(Overloaded, match="try again") as refused:
        admission.enter("kind", 3, HIGH)
    assert refused.value.retry_after_s == 1.0  # what is there is expected to take less
    assert (admission.requests, admission.bytes, admission.refused) == (1, 3, 1)


def test_refusals_are_counted_by_what_there_was_too_little_of() -> None:
    admission = room(max_requests=2, max_bytes=10)
    admission.enter("kind", 9, HIGH)
    for body_bytes in (5, 1, 5):
        with contextlib.suppress(Overloaded):
            admission.enter("kind", body_bytes, HIGH)
    assert admission.refusals == {Lack.REQUESTS: 1, Lack.WAIT: 0, Lack.BYTES: 1}
    shown = render_admission(admission).decode()
    for line in (
        "grayscale_admission_requests 2.0",
        "grayscale_admission_requests_limit 2.0",
        "grayscale_admission_bytes 10.0",
        "grayscale_admission_bytes_limit 10.0",
        'grayscale_admission_refused_total{reason="requests"} 1.0',
        'grayscale_admission_refused_total{reason="wait"} 0.0',
        'grayscale_admission_refused_total{reason="bytes"} 1.0',
    ):
        assert line in shown.splitlines()


@pytest.mark.parametrize("priority", list(Priority))
def test_a_body_larger_than_the_whole_room_gets_in_alone(priority: Priority) -> None:
    admission = room(max_bytes=100)
    alone = admission.enter("kind", 1000, priority)
    with pytest.raises(Overloaded):
        admission.enter("kind", 1, HIGH)
    alone.leave()
    beside = admission.enter("kind", 1, HIGH)
    with pytest.raises(Overloaded):
        admission.enter("kind", 1000, priority)
    beside.leave()
    admission.enter("kind", 1000, priority)


def test_requests_without_a_body_do_not_keep_a_large_one_out() -> None:
    admission = room(max_bytes=100)
    admission.enter("kind", 0, NORMAL)
    admission.enter("kind", 1000, NORMAL)
    assert admission.bytes == 1000


def test_whoever_leaves_makes_room_and_leaving_twice_changes_nothing() -> None:
    admission = room(max_requests=2, max_bytes=100)
    first, second = admission.enter("kind", 40, HIGH), admission.enter("kind", 50, HIGH)
    for _ in range(3):
        first.leave()
    assert (admission.requests, admission.bytes) == (1, 50)
    admission.enter("kind", 50, HIGH)
    second.leave()
    assert (admission.requests, admission.bytes) == (1, 50)


def test_a_body_of_unknown_length_takes_its_room_as_it_comes() -> None:
    admission = room(max_bytes=100)
    place = admission.enter("kind", 0, NORMAL)
    for _ in range(3):
        place.grow(20)
    assert admission.bytes == 60
    admission.enter("kind", 20, NORMAL)
    with pytest.raises(Overloaded):
        place.grow(20)  # 100 of the 90 that it may fill
    assert admission.bytes == 80
    place.leave()
    assert admission.bytes == 20


def test_a_body_of_unknown_length_may_grow_beyond_everything_while_it_is_alone() -> None:
    admission = room(max_bytes=100)
    place = admission.enter("kind", 0, LOW)
    place.grow(500)
    with pytest.raises(Overloaded):
        admission.enter("kind", 1, HIGH)
    place.leave()
    assert (admission.requests, admission.bytes) == (0, 0)


@pytest.mark.parametrize(
    ("max_wait_s", "places"),
    [
        # The first that finds more than its part of the bound in front of it is refused.
        (10 * COLD_S, {HIGH: 10, NORMAL: 9, LOW: 8}),
        (20 * COLD_S, {HIGH: 20, NORMAL: 18, LOW: 10}),
        (0.0, {HIGH: 8, NORMAL: 8, LOW: 8}),
        (math.inf, {HIGH: 512, NORMAL: 460, LOW: 256}),
    ],
)
def test_each_priority_waits_for_at_most_its_share_of_the_bound(max_wait_s: float, places: dict[Priority, int]) -> None:
    for priority, count in places.items():
        assert len(fill(room(max_wait_s=0.999 * max_wait_s), 0, priority)) == count


@pytest.mark.parametrize(("cores", "few"), [(1, 8), (2, 8), (3, 12), (16, 64)])
def test_no_expectation_refuses_the_first_few(cores: int, few: int) -> None:
    admission = room(max_wait_s=0.0, cores=cores)
    for _ in range(few):
        admission.enter("kind", 0, LOW, timeout_s=0.0)
    with pytest.raises(Overloaded):
        admission.enter("kind", 0, HIGH)


def test_the_bound_on_requests_holds_for_few_as_well() -> None:
    assert len(fill(room(max_requests=2, max_wait_s=0.0), 0, HIGH)) == 2


def test_a_request_whose_answer_could_not_come_in_time_is_refused() -> None:
    admission = room()
    for _ in range(20):
        admission.enter("kind", 0, NORMAL)
    assert admission.expected_wait_s == pytest.approx(20 * COLD_S)
    with pytest.raises(Overloaded, match="too late"):
        admission.enter("kind", 0, HIGH, timeout_s=19.9 * COLD_S)
    admission.enter("kind", 0, LOW, timeout_s=20.1 * COLD_S)


def test_whoever_is_refused_is_told_when_what_is_in_flight_now_will_be_done() -> None:
    admission = room(max_wait_s=70 * COLD_S)
    fill(admission, 0, HIGH)
    with pytest.raises(Overloaded) as refused:
        admission.enter("kind", 0, HIGH)
    assert refused.value.retry_after_s == pytest.approx(71 * COLD_S)


def test_kinds_share_the_room_and_keep_costs_of_their_own() -> None:
    clock = ManualClock()
    admission = Admission(AdmissionLimits(max_wait_s=1.0), clock, cores=1)
    for _ in range(100):
        place = admission.enter("cheap", 0, HIGH)
        place.begin()
        clock.advance(0.001)
        place.leave()
    for _ in range(50):
        admission.enter("cheap", 0, HIGH)
    assert admission.expected_wait_s == pytest.approx(0.05, rel=0.01)
    while admission.expected_wait_s < 1.0:
        admission.enter("dear", 0, HIGH)
    with pytest.raises(Overloaded):
        admission.enter("cheap", 0, HIGH)
    assert admission.requests == pytest.approx(50 + 0.95 / COLD_S, abs=1)


def test_what_is_held_takes_a_place_and_its_bytes_until_it_is_let_go() -> None:
    admission = room(max_requests=10, max_bytes=100)
    assert [admission.hold(30) for _ in range(4)] == [True, True, True, False]  # 90 bytes are what NORMAL may fill
    assert (admission.requests, admission.bytes, admission.refused) == (3, 90, 0)
    admission.let_go(2, 60)
    assert admission.hold(60)
    admission.let_go(2, 90)
    assert (admission.requests, admission.bytes, admission.expected_wait_s) == (0, 0, 0.0)


@pytest.mark.parametrize("priority", Priority)
def test_who_asks_is_told_the_same_and_nothing_is_counted(priority: Priority) -> None:
    admission = room(max_requests=4)
    while not admission.refuses(priority):
        admission.enter("kind", 0, HIGH)
    assert admission.refused == 0
    assert admission.refusal(priority) is not None
    assert admission.refused == 1
