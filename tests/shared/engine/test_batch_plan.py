from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace

import pytest

from services.shared.config_pbtxt import parse_config
from services.shared.engine.batch_plan import BatchPlan, BatchRules, batch_rules, plan_batch, queue_level, turn_end_s
from services.shared.model_config import DynamicBatching
from services.shared.priority import Priority
from tests.support.configs import config_text


@dataclass(frozen=True, slots=True)
class Request:
    batch: int = 1
    shapes: Hashable = ()
    arrived_s: float = 0.0


def sizes(*batches: int) -> list[Request]:
    return [Request(batch) for batch in batches]


ALL = BatchRules(join=True, max_size=8, sizes=frozenset(range(1, 9)))
POWERS = BatchRules(join=True, max_size=8, sizes=frozenset({1, 2, 4, 8}))
PATIENT = replace(ALL, delay_s=5.0)
PREFERRED = replace(PATIENT, preferred=frozenset({4, 6}))
NEVER = BatchRules(join=False, max_size=8)

CASES = [
    # rules, waiting, now_s, plan
    pytest.param(NEVER, sizes(1, 1, 1), 0.0, BatchPlan(1), id="never joined"),
    pytest.param(NEVER, sizes(8, 1), 0.0, BatchPlan(1), id="never joined, a large one"),
    pytest.param(ALL, sizes(1), 0.0, BatchPlan(1), id="one alone"),
    pytest.param(ALL, sizes(1, 2, 3), 0.0, BatchPlan(3), id="everything that waits"),
    pytest.param(ALL, sizes(*[1] * 9), 0.0, BatchPlan(8), id="no more than the largest"),
    pytest.param(ALL, sizes(5, 4, 1), 0.0, BatchPlan(1), id="nobody overtakes one that does not fit"),
    pytest.param(ALL, sizes(5, 3, 1), 0.0, BatchPlan(2), id="filled exactly"),
    pytest.param(ALL, sizes(8, 1), 0.0, BatchPlan(1), id="the first fills it"),
    pytest.param(ALL, [Request(1, "a"), Request(1, "a"), Request(1, "b")], 0.0, BatchPlan(2), id="other shapes wait"),
    pytest.param(ALL, [Request(1, "a"), Request(1, "b"), Request(1, "a")], 0.0, BatchPlan(1), id="and keep their turn"),
    pytest.param(POWERS, sizes(1, 1, 1), 0.0, BatchPlan(2), id="only a warmed total"),
    pytest.param(POWERS, sizes(*[1] * 7), 0.0, BatchPlan(4), id="the longest warmed total"),
    pytest.param(POWERS, sizes(3, 1), 0.0, BatchPlan(2), id="together warmed, alone not"),
    pytest.param(POWERS, sizes(3, 2), 0.0, BatchPlan(1), id="no warmed total: the first alone"),
    pytest.param(POWERS, sizes(7), 0.0, BatchPlan(1), id="a size that was not warmed, alone"),
    pytest.param(PATIENT, sizes(1), 0.0, BatchPlan(0, 5.0), id="waits for company"),
    pytest.param(PATIENT, sizes(1, 1), 2.0, BatchPlan(0, 3.0), id="as long as the oldest may wait"),
    pytest.param(PATIENT, [Request(arrived_s=4.0), Request(arrived_s=1.0)], 4.5, BatchPlan(0, 1.5), id="not the first"),
    pytest.param(PATIENT, sizes(1, 1), 5.0, BatchPlan(2), id="the delay is over"),
    pytest.param(PATIENT, sizes(1, 1), 99.0, BatchPlan(2), id="long over"),
    pytest.param(PATIENT, sizes(*[1] * 8), 0.0, BatchPlan(8), id="full: no need to wait"),
    pytest.param(PATIENT, sizes(5, 4), 0.0, BatchPlan(1), id="cannot grow: no need to wait"),
    pytest.param(PATIENT, [Request(1, "a"), Request(1, "b")], 0.0, BatchPlan(1), id="other shapes: no need to wait"),
    pytest.param(PREFERRED, sizes(1, 1, 1), 0.0, BatchPlan(0, 5.0), id="below every preferred size"),
    pytest.param(PREFERRED, sizes(1, 1, 1, 1), 0.0, BatchPlan(4), id="a preferred size at once"),
    pytest.param(PREFERRED, sizes(1, 1, 1, 1, 1), 0.0, BatchPlan(4), id="a preferred size rather than all"),
    pytest.param(PREFERRED, sizes(*[1] * 8), 0.0, BatchPlan(6), id="the largest preferred size"),
    pytest.param(PREFERRED, sizes(3, 2), 5.0, BatchPlan(2), id="over the delay without a preferred size"),
    pytest.param(replace(POWERS, delay_s=0.005), [Request(arrived_s=t) for t in (0.0, 0.001, 0.002)], 0.002,
                 BatchPlan(0, 0.003), id="the module's worked example, before"),
    pytest.param(replace(POWERS, delay_s=0.005), [Request(arrived_s=t) for t in (0.0, 0.001, 0.002)], 0.005,
                 BatchPlan(2), id="the module's worked example, after"),
]  # fmt: skip


@pytest.mark.parametrize(("rules", "waiting", "now_s", "plan"), CASES)
def test_plan(rules: BatchRules, waiting: list[Request], now_s: float, plan: BatchPlan) -> None:
    made = plan_batch(waiting, rules, now_s)
    assert made.take == plan.take
    assert made.wait_s == pytest.approx(plan.wait_s)


@pytest.mark.parametrize(
    ("levels", "default", "expected"),
    [
        (0, 0, (1, 2, 3)),
        (1, 1, (1, 1, 1)),
        (2, 1, (1, 1, 2)),
        (2, 2, (1, 2, 2)),
        (10, 4, (1, 4, 10)),
        (10, 0, (1, 2, 10)),  # a config that names levels and no default
    ],
)
def test_level_at_which_high_normal_and_low_wait(levels: int, default: int, expected: tuple[int, ...]) -> None:
    batching = DynamicBatching(priority_levels=levels, default_priority_level=default)
    assert tuple(queue_level(priority, batching) for priority in Priority) == expected


def test_levels_are_the_protocols_when_requests_are_not_joined() -> None:
    assert [queue_level(priority, None) for priority in Priority] == [1, 2, 3]


@pytest.mark.parametrize(
    ("text", "rules"),
    [
        (config_text(max_batch_size=8), BatchRules(join=False, max_size=8)),
        (config_text(max_batch_size=0, batching=""), BatchRules(join=False, max_size=1)),
        (config_text(max_batch_size=1, batching=""), BatchRules(join=False, max_size=1)),
        (
            config_text(max_batch_size=8, batching="preferred_batch_size: [4] max_queue_delay_microseconds: 500"),
            BatchRules(True, 8, frozenset({1, 4, 8}), frozenset({4}), 0.0005),
        ),
    ],
)
def test_rules_of_a_config(text: str, rules: BatchRules) -> None:
    assert batch_rules(parse_config(text, name="m"), {4: 0.0, 8: 0.0}) == rules


@pytest.mark.parametrize(
    ("away_s", "takes_s"), [(0.0, 0.0025), (0.001, 0.0025), (0.02, 0.02), (0.05, 0.05), (9.0, 0.05)]
)
def test_a_turn_of_brief_runs_is_as_long_as_the_loop_was_away(away_s: float, takes_s: float) -> None:
    assert turn_end_s(100.0, 100.0 - away_s) == pytest.approx(100.0 + takes_s)
