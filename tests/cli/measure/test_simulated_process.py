"""The simulation against queues whose answer is known, and the engine's batching in it."""

from __future__ import annotations

import numpy as np
import pytest

from services.cli.measure import queue_model
from services.cli.measure.open_loop import poisson
from services.cli.measure.service_times import ServiceTimes
from services.cli.measure.simulated_process import simulate
from services.shared.engine.batch_plan import BatchRules

ALONE = BatchRules(join=False, max_size=1)
NONE_S = 1e-12


def times(
    run_s: dict[int, float], *, decode_s: float = NONE_S, loop_s: float = NONE_S, wire_s: float = 0.0,
    spread: tuple[float, ...] = (1.0,), wake_s: float = 0.0,
) -> ServiceTimes:  # fmt: skip
    return ServiceTimes((decode_s,), run_s, spread, loop_s, wire_s, decode_s + run_s[1] + loop_s, wake_s)


@pytest.mark.parametrize("run_s", [0.01, 0.001], ids=["in a thread", "in the loop"])
def test_with_nothing_but_runs_it_is_the_queue_with_one_server(run_s: float) -> None:
    due_s = poisson(0.8 / run_s, 4000 * run_s, seed=1)
    found = simulate(times({1: run_s}), ALONE, due_s)
    expected = queue_model.latencies_s(due_s, run_s, 1)
    assert found.latency_s == pytest.approx(np.array(expected), abs=1e-8)
    assert found.batch == 1


def test_the_mean_with_exponential_runs_is_that_of_theory() -> None:
    """M/M/1: s / (1 - load)."""
    spread = tuple(np.random.default_rng(0).exponential(1, 5000).tolist())
    run_s, load = 0.01 / float(np.mean(spread)), 0.6
    found = simulate(times({1: run_s}, spread=spread), ALONE, poisson(load / 0.01, 400.0, seed=3), seed=5)
    assert found.latency_s.mean() == pytest.approx(0.01 / (1 - load), rel=0.06)
    assert found.busy == pytest.approx(load, rel=0.03)


def test_a_request_that_is_alone_takes_the_sum_of_its_parts() -> None:
    given = times({1: 0.02}, decode_s=0.01, loop_s=0.004, wire_s=0.003)
    found = simulate(given, ALONE, np.array([0.0, 1.0, 2.0]))
    assert found.latency_s == pytest.approx([given.alone_s] * 3)
    assert given.alone_s == pytest.approx(0.037)
    assert found.busy == pytest.approx(3 * 0.034 / 2.034, rel=1e-3)


def test_decoding_and_running_share_the_core() -> None:
    """0: decoded by 10, runs. 1: decoded from 10 on beside that, both at half speed: its 10 ms are over at 30, when the
    run has 10 of 20 ms to go, which end at 40. Then it runs until 60."""
    found = simulate(times({1: 0.02}, decode_s=0.01), ALONE, np.array([0.0, 0.01]))
    assert found.latency_s == pytest.approx([0.04, 0.05], abs=1e-6)


@pytest.mark.parametrize(
    ("rules", "runs_end_ms"),
    [
        (ALONE, [10, 20, 30, 40, 50]),
        (BatchRules(join=True, max_size=4, sizes=frozenset({1, 2, 4})), [10, 40, 40, 40, 40]),
        (BatchRules(join=True, max_size=4, sizes=frozenset({1, 2})), [10, 28, 28, 46, 46]),
    ],
)
def test_what_waits_is_joined_as_the_engine_joins_it(rules: BatchRules, runs_end_ms: list[float]) -> None:
    """Five at once: the first runs alone, as nobody else is there when it comes."""
    run_s = {1: 0.01, 2: 0.018, 3: 0.024, 4: 0.03}
    found = simulate(times(run_s), rules, np.full(5, 0.5))
    assert 1000 * found.latency_s == pytest.approx(runs_end_ms, abs=1e-3)


def test_the_first_after_a_pause_wakes_the_core() -> None:
    found = simulate(times({1: 0.002}, decode_s=0.001, wake_s=0.004), ALONE, np.array([1.0, 1.007, 2.0]))
    assert 1000 * found.latency_s == pytest.approx([7, 3, 7], abs=1e-6)


def test_what_is_decoded_before_a_run_in_the_loop_ends_runs_together() -> None:
    rules = BatchRules(join=True, max_size=8, sizes=frozenset(range(1, 9)))
    found = simulate(times(dict.fromkeys(range(1, 9), 0.001)), rules, np.full(5, 0.5))
    assert found.batch == 2.5
    assert 1000 * found.latency_s == pytest.approx([1, 2, 2, 2, 2], abs=1e-3)


def test_a_backlog_in_the_loop_is_run_off_in_batches() -> None:
    """40 at once, 8 at most in a run of 1 ms: five runs, one after the other."""
    rules = BatchRules(join=True, max_size=8, sizes=frozenset(range(1, 9)))
    found = simulate(times(dict.fromkeys(range(1, 9), 0.001)), rules, np.full(40, 0.5))
    assert found.batch == 8
    assert 1000 * np.sort(found.latency_s)[[0, 39]] == pytest.approx([1, 5], abs=1e-3)


def test_a_batch_waits_for_company_as_long_as_the_config_says() -> None:
    rules = BatchRules(join=True, max_size=4, sizes=frozenset({1, 2, 4}), delay_s=0.005)
    found = simulate(times({1: 0.01, 2: 0.012, 3: 0.014, 4: 0.016}), rules, np.array([0.0, 0.002, 1.0]))
    assert 1000 * found.latency_s == pytest.approx([17, 15, 15], abs=1e-3)


def test_the_same_seed_gives_the_same_latencies() -> None:
    given = ServiceTimes((0.001, 0.004), {1: 0.003}, (0.5, 1.5), 0.0005, 0.0, 0.006)
    due_s = poisson(100, 5, seed=2)
    one, other = simulate(given, ALONE, due_s, seed=4), simulate(given, ALONE, due_s, seed=4)
    assert np.array_equal(one.latency_s, other.latency_s)
    assert not np.isnan(one.latency_s).any()
