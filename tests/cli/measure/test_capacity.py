"""How many processes a load needs."""

from __future__ import annotations

import pytest

from services.cli.measure.capacity import OutOfReach, needed, predict
from services.cli.measure.service_times import MOST_ASKED, ServiceTimes
from services.shared.engine.batch_plan import BatchRules

ALONE = BatchRules(join=False, max_size=1)
FEW = 2500  # requests of a simulation
TEN_MS = ServiceTimes((0.001,), {1: 0.008}, (1.0,), 0.001, 0.0, 0.010)


@pytest.mark.parametrize("rate_per_s", [5.0, 60.0, 400.0])
@pytest.mark.parametrize("p99_ms", [25.0, 100.0])
def test_one_process_less_would_not_do(rate_per_s: float, p99_ms: float) -> None:
    found = needed(TEN_MS, ALONE, rate_per_s, p99_ms, requests=FEW)
    assert found.predicted.p99_ms <= p99_ms
    assert found.predicted.asked <= MOST_ASKED
    if found.processes > 1:
        fewer = predict(TEN_MS, ALONE, rate_per_s / (found.processes - 1), requests=FEW)
        assert fewer.p99_ms > p99_ms or fewer.asked > MOST_ASKED


def test_less_time_needs_more_processes() -> None:
    counts = [needed(TEN_MS, ALONE, 300.0, p99_ms, requests=FEW).processes for p99_ms in (15.0, 30.0, 200.0)]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > 8 * counts[-1]
    assert counts[-1] >= 4


def test_what_a_process_can_be_asked_for_is_told() -> None:
    found = needed(TEN_MS, ALONE, 300.0, 30.0, requests=FEW)
    assert found.predicted.rate_per_s <= found.most_per_s <= MOST_ASKED / 0.01
    assert predict(TEN_MS, ALONE, found.most_per_s, requests=FEW).p99_ms == pytest.approx(30.0, rel=0.2)


def test_batches_that_pay_need_fewer_processes() -> None:
    run_s = {size: 0.008 + 0.001 * size for size in range(1, 9)}
    joined = BatchRules(join=True, max_size=8, sizes=frozenset(run_s))
    counts = [
        needed(ServiceTimes((0.001,), run_s, (1.0,), 0.001, 0.0, busy_s), rules, 500.0, 100.0, requests=FEW).processes
        for rules, busy_s in ((joined, 0.004), (ALONE, 0.011))
    ]
    assert counts[0] < counts[1]


def test_no_core_is_asked_for_more_than_holds() -> None:
    found = needed(TEN_MS, ALONE, 300.0, 10_000.0, requests=FEW)
    assert found.processes == 5  # 300 / 70; four would be busy for 75 % of the time
    assert found.predicted.asked == pytest.approx(0.6)
    assert found.most_per_s == pytest.approx(70)


def test_what_no_number_of_processes_can_do_is_said() -> None:
    with pytest.raises(OutOfReach, match="meets no other"):
        needed(TEN_MS, ALONE, 1.0, 9.0)
    sometimes_slow = ServiceTimes((0.001,) * 9 + (0.2,), {1: 0.008}, (1.0,), 0.001, 0.0, 0.010)
    with pytest.raises(OutOfReach, match="slow by themselves"):
        needed(sometimes_slow, ALONE, 1.0, 50.0, requests=FEW)
