"""What is told from measurements of a whole service."""

from __future__ import annotations

import math

import pytest

from services.cli.measure.service_times import ServiceTimes, Together, service_times, turn_times


def test_measurements_are_taken_apart() -> None:
    times = service_times(
        (0.003,), {1: 0.006, 4: 0.02}, (0.005, 0.007), alone_s=0.012, busy_s=0.010, batch=4, wake_s=0.004
    )
    assert times.loop_s == pytest.approx(0.002)
    assert times.wire_s == pytest.approx(0.001)
    assert times.run_spread == pytest.approx((5 / 6, 7 / 6))
    assert times.alone_s == pytest.approx(0.016)
    assert times.busy_s == 0.010


def test_parts_that_seem_to_take_more_than_there_was_take_less() -> None:
    times = service_times((0.005,), {1: 0.006, 2: 0.011}, (0.006,), alone_s=0.011, busy_s=0.010, batch=1)
    assert times.loop_s == pytest.approx(0.0005)
    assert times.mean_decode_s + times.run_s[1] == pytest.approx(0.0095)
    assert times.run_s[2] / times.run_s[1] == pytest.approx(11 / 6)
    assert times.alone_s == pytest.approx(0.011)


@pytest.mark.parametrize(("paused_s", "share"), [(0.0, 0.0), (0.004, 1 - 1 / math.e), (1.0, 1.0)])
def test_waking_takes_the_longer_the_longer_the_pause_was(paused_s: float, share: float) -> None:
    times = ServiceTimes((0.0,), {1: 0.001}, (1.0,), 0.0, 0.0, 0.001, wake_s=0.002)
    assert times.waking_s(paused_s) == pytest.approx(0.002 * share)


def test_a_turn_is_taken_apart_by_turns_of_one_and_of_many() -> None:
    one_s = (0.0005, 0.0005, 0.0005, 0.0015)
    turns, wire_s = turn_times(one_s, Together(1.0, 0.0004), Together(15.0, 0.0025), largest=32)
    assert (turns.turn_s, turns.each_s) == pytest.approx((0.00025, 0.00015))
    assert turns.interrupted_s == pytest.approx((0, 0, 0, 0.001))
    assert wire_s == pytest.approx(0.0001)


def test_processor_time_of_interruptions_is_in_no_turn() -> None:
    """The mean is twice the median: what interrupts is drawn apart, so turns of many take half of theirs as well."""
    turns, wire_s = turn_times((0.0002,), Together(1.0, 0.0004), Together(5.0, 0.0012), largest=32)
    assert turns.of(1) == pytest.approx(0.0002)
    assert turns.of(5) == pytest.approx(0.0006)
    assert wire_s == pytest.approx(0)


@pytest.mark.parametrize(("many", "each_s"), [(Together(1.2, 0.0009), 0.0004), (Together(9.0, 0.0004), 0.00002)])
def test_a_turn_of_many_that_tells_nothing_is_bounded(many: Together, each_s: float) -> None:
    turns, _ = turn_times((0.0005,), Together(1.0, 0.0004), many, largest=32)
    assert turns.each_s == pytest.approx(each_s)
    assert turns.of(1) == pytest.approx(0.0004)
