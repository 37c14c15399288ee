"""Who gets a place, by priority, by number and by bytes."""

from __future__ import annotations

import pytest

from services.api.admission import Admission, AdmissionLimits, Place
from services.shared.errors import Overloaded
from services.shared.priority import Priority

HIGH, NORMAL, LOW = Priority.HIGH, Priority.NORMAL, Priority.LOW


def fill(admission: Admission, body_bytes: int, priority: Priority) -> list[Place]:
    """Places until there is none."""
    places: list[Place] = []
    try:
        while len(places) < 10_000:
            places.append(admission.enter(body_bytes, priority))
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
        assert len(fill(Admission(AdmissionLimits(max_requests=max_requests)), 0, priority)) == count


@pytest.mark.parametrize(
    ("body_bytes", "places"), [(10, {HIGH: 10, NORMAL: 9, LOW: 5}), (30, {HIGH: 3, NORMAL: 3, LOW: 1})]
)
def test_each_priority_may_fill_its_share_of_the_bytes(body_bytes: int, places: dict[Priority, int]) -> None:
    for priority, count in places.items():
        assert len(fill(Admission(AdmissionLimits(max_bytes=100)), body_bytes, priority)) == count


def test_what_matters_less_is_refused_first_and_room_is_left_for_what_matters_most() -> None:
    admission = Admission(AdmissionLimits(max_requests=10))
    assert [len(fill(admission, 0, priority)) for priority in (LOW, NORMAL, HIGH)] == [5, 4, 1]
    assert admission.requests == 10
    assert admission.refused == 3


def test_a_refusal_says_when_to_try_again_and_takes_no_room() -> None:
    admission = Admission(AdmissionLimits(max_requests=1, max_bytes=10))
    admission.enter(3, HIGH)
    with pytest.raises(Overloaded, match="try again") as refused:
        admission.enter(3, HIGH)
    assert refused.value.retry_after_s == 1.0
    assert (admission.requests, admission.bytes, admission.refused) == (1, 3, 1)


@pytest.mark.parametrize("priority", list(Priority))
def test_a_body_larger_than_the_whole_room_gets_in_alone(priority: Priority) -> None:
    admission = Admission(AdmissionLimits(max_bytes=100))
    alone = admission.enter(1000, priority)
    with pytest.raises(Overloaded):
        admission.enter(1, HIGH)
    alone.leave()
    beside = admission.enter(1, HIGH)
    with pytest.raises(Overloaded):
        admission.enter(1000, priority)
    beside.leave()
    admission.enter(1000, priority)


def test_requests_without_a_body_do_not_keep_a_large_one_out() -> None:
    admission = Admission(AdmissionLimits(max_bytes=100))
    admission.enter(0, NORMAL)
    admission.enter(1000, NORMAL)
    assert admission.bytes == 1000


def test_whoever_leaves_makes_room_and_leaving_twice_changes_nothing() -> None:
    admission = Admission(AdmissionLimits(max_requests=2, max_bytes=100))
    first, second = admission.enter(40, HIGH), admission.enter(50, HIGH)
    for _ in range(3):
        first.leave()
    assert (admission.requests, admission.bytes) == (1, 50)
    admission.enter(50, HIGH)
    second.leave()
    assert (admission.requests, admission.bytes) == (1, 50)


def test_a_body_of_unknown_length_takes_its_room_as_it_comes() -> None:
    admission = Admission(AdmissionLimits(max_bytes=100))
    place = admission.enter(0, NORMAL)
    for _ in range(3):
        place.grow(20)
    assert admission.bytes == 60
    admission.enter(20, NORMAL)
    with pytest.raises(Overloaded):
        place.grow(20)  # 100 of the 90 that it may fill
    assert admission.bytes == 80
    place.leave()
    assert admission.bytes == 20


def test_a_body_of_unknown_length_may_grow_beyond_everything_while_it_is_alone() -> None:
    admission = Admission(AdmissionLimits(max_bytes=100))
    place = admission.enter(0, LOW)
    place.grow(500)
    with pytest.raises(Overloaded):
        admission.enter(1, HIGH)
    place.leave()
    assert (admission.requests, admission.bytes) == (0, 0)
