"""The simulation of tiny pictures against what can be told by hand."""

from __future__ import annotations

import numpy as np
import pytest

from services.cli.measure.open_loop import poisson
from services.cli.measure.service_times import ServiceTimes, TurnTimes
from services.cli.measure.simulated_process import simulate
from services.shared.engine.batch_plan import BatchRules

RULES = BatchRules(join=True, max_size=8)


def times(turns: TurnTimes, *, wire_s: float = 0.0, wake_s: float = 0.0) -> ServiceTimes:
    return ServiceTimes((0.0001,), {1: 0.0001}, (1.0,), 0.0, wire_s, turns.of(1), wake_s, turns)


def test_who_comes_during_a_turn_shares_the_next() -> None:
    """0: a turn until 3. Those of 1 and 2 have the next, of 2 + 2, until 7; the one of 4 has a third, until 10."""
    given = times(TurnTimes(0.002, 0.001, largest=32), wire_s=0.0005)
    found = simulate(given, RULES, np.array([0.0, 0.001, 0.002, 0.004]))
    assert 1000 * found.latency_s == pytest.approx([3.5, 6.5, 5.5, 6.5])
    assert found.batch == pytest.approx(4 / 3)
    assert found.busy == pytest.approx(1.0)


def test_a_turn_takes_so_many_at_most() -> None:
    found = simulate(times(TurnTimes(0.002, 0.001, largest=2)), RULES, np.full(5, 1.0))
    assert 1000 * found.latency_s == pytest.approx([4, 4, 8, 8, 11])


def test_more_requests_make_larger_turns_and_cost_less_each() -> None:
    """As many wait at a turn's begin as came in the last: m = r (t + m e), so m = r t / (1 - r e)."""
    given = times(TurnTimes(0.0003, 0.0001, largest=1000))
    found = simulate(given, RULES, poisson(6000, 20.0, seed=1))
    assert found.batch == pytest.approx(6000 * 0.0003 / (1 - 6000 * 0.0001), rel=0.1)
    assert found.latency_s.max() < 0.02


def test_the_first_after_a_pause_wakes_the_core() -> None:
    given = times(TurnTimes(0.0, 0.001, largest=8), wake_s=0.002)
    found = simulate(given, RULES, np.array([1.0, 2.0, 2.001]))
    assert 1000 * found.latency_s == pytest.approx([3, 3, 3], abs=1e-6)
    assert given.alone_s == pytest.approx(0.003)


def test_interruptions_come_with_time_not_with_turns() -> None:
    """One millisecond in two is interrupted for one more: of turns of one request, and four times of turns of four."""
    turns = TurnTimes(0.0, 0.001, largest=8, interrupted_s=(0.0, 0.001))
    singles = simulate(times(turns), RULES, np.arange(1.0, 2001.0))
    fours = simulate(times(turns), RULES, np.repeat(np.arange(1.0, 501.0), 4))
    assert 1000 * singles.latency_s.mean() == pytest.approx(1.5, rel=0.05)
    assert 1000 * fours.latency_s.mean() == pytest.approx(6, rel=0.05)
