"""More work than a service can do, in simulated time: it stays busy, what it admits stays quick, and it recovers."""

from __future__ import annotations

import dataclasses
import itertools

import pytest

from services.api.admission import Admission, AdmissionLimits
from services.shared.clock import ManualClock
from services.shared.priority import Priority
from tests.support.simulated_service import Arrival, SimulatedService, poisson

CORES = 2
MAX_WAIT_S = 2.0


def service(seconds: dict[str, float], max_wait_s: float = MAX_WAIT_S) -> tuple[SimulatedService, Admission]:
    clock = ManualClock()
    admission = Admission(AdmissionLimits(max_requests=4096, max_wait_s=max_wait_s), clock, cores=CORES)
    return SimulatedService(admission, clock, CORES, seconds), admission


@pytest.mark.parametrize("offered", [1.5, 3.0, 8.0])
@pytest.mark.parametrize(
    ("seconds", "kinds"),
    [
        ({"a": 0.004}, {"a": 1.0}),
        ({"a": 0.025}, {"a": 1.0}),
        ({"a": 0.25}, {"a": 1.0}),
        ({"a": 0.005, "b": 0.1}, {"a": 10.0, "b": 1.0}),
        ({"a": 0.005, "b": 0.1}, {"a": 1.0, "b": 1.0}),
    ],
)
def test_beyond_capacity_the_service_stays_busy_and_what_it_admits_stays_quick(
    offered: float, seconds: dict[str, float], kinds: dict[str, float]
) -> None:
    simulated, _ = service(seconds)
    capacity = CORES * sum(kinds.values()) / sum(kinds[kind] * seconds[kind] for kind in kinds)
    outcome = simulated.run(poisson(offered * capacity, 0.0, 20.0, kinds))
    assert outcome.refused
    work_s = sum(seconds[each.arrival.kind] for each in outcome.served if 2.0 <= each.done_s < 20.0)
    assert work_s >= 0.95 * CORES * 18.0
    # A quarter for the error of an estimate from a tenth of a second, and the request's own service.
    bound_s = 1.25 * MAX_WAIT_S + max(seconds.values())
    assert max(each.latency_s for each in outcome.served if each.arrival.at_s > 5.0) <= bound_s
    # In the beginning nothing is known of any cost, and then nothing of which kind of a mix is the dear one.
    assert max(each.latency_s for each in outcome.served) <= 2 * bound_s


def test_a_second_after_an_overload_nobody_is_refused() -> None:
    simulated, admission = service({"a": 0.02})
    capacity = CORES / 0.02
    overload = poisson(3 * capacity, 0.0, 10.0, {"a": 1.0})
    calm = poisson(0.7 * capacity, 10.0, 30.0, {"a": 1.0}, seed=1)
    outcome = simulated.run([*overload, *calm])
    assert outcome.refused
    assert max(each.at_s for each in outcome.refused) < 11.0
    assert admission.expected_wait_s == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize(("slow_s", "quick_s"), [(10.0, 0.001), (1.0, 0.01), (60.0, 0.02)])
def test_after_a_standstill_the_door_opens_again(slow_s: float, quick_s: float) -> None:
    simulated, _ = service({"a": slow_s})
    first = simulated.run(Arrival(0.01 * number, "a") for number in range(500))
    end_s = max(each.done_s for each in first.served)
    simulated.seconds["a"] = quick_s
    capacity = CORES / quick_s
    outcome = simulated.run(poisson(0.8 * capacity, end_s + 1.0, end_s + 6.0, {"a": 1.0}))
    assert all(each.at_s < end_s + 2.0 for each in outcome.refused)
    assert outcome.goodput(end_s + 2.0, end_s + 6.0) >= 0.75 * capacity


def test_a_model_that_became_slow_is_noticed_before_the_queue_is_long() -> None:
    simulated, _ = service({"a": 0.002})
    simulated.run(poisson(900.0, 0.0, 3.0, {"a": 1.0}))
    simulated.seconds["a"] = 0.04
    outcome = simulated.run(poisson(900.0, 3.1, 20.0, {"a": 1.0}))
    late = [each.latency_s for each in outcome.served if each.arrival.at_s > 12.0]
    assert max(late) <= 1.25 * MAX_WAIT_S
    assert max(each.latency_s for each in outcome.served) <= 5 * MAX_WAIT_S


def test_what_matters_more_still_gets_in_when_the_rest_is_refused() -> None:
    simulated, _ = service({"a": 0.02})
    levels = itertools.cycle([Priority.LOW, Priority.LOW, Priority.NORMAL, Priority.LOW, Priority.HIGH])
    arrivals = [
        dataclasses.replace(each, priority=level)
        for each, level in zip(poisson(300.0, 0.0, 10.0, {"a": 1.0}), levels, strict=False)
    ]
    outcome = simulated.run(arrivals)
    refused = {level: sum(each.priority is level for each in outcome.refused) for level in Priority}
    assert refused[Priority.HIGH] == 0
    assert refused[Priority.LOW] > 10 * max(1, refused[Priority.NORMAL])
