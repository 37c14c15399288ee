"""Which of the waiting requests run now. Pure.

The queue is in the order in which it is to be served; a batch is always a prefix of it, so nobody is overtaken and
nobody starves. The cases, the first that holds decides (`total` is the batch size of a prefix):

    requests are never joined                                   -> the first one
    a prefix has a preferred total                              -> the longest such prefix
    the prefix cannot grow: it is full, or the next request
      is too large for it or has other shapes                   -> the longest prefix with a warmed total, or the first
    the oldest of the prefix has waited for the delay           -> the same
    otherwise                                                   -> nothing; ask again when the oldest has waited

Worked example: max 8, warmed {1, 2, 4, 8}, delay 5 ms, waiting 1 + 1 + 1 for 2, 1, 0 ms: nothing for 3 ms, then 2.
Preferred sizes and delay mean what they mean in Triton (`docs/user_guide/batcher.md`).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from services.shared.model_config import DynamicBatching, ModelConfig
from services.shared.priority import Priority


class Waiting(Protocol):
    """What the plan must know of a request: only those with equal `shapes` may be joined."""

    @property
    def batch(self) -> int: ...

    @property
    def shapes(self) -> Hashable: ...

    @property
    def arrived_s(self) -> float: ...


@dataclass(frozen=True, slots=True)
class BatchRules:
    """How requests are joined: totals from `sizes` (those that were warmed), at most `max_size`; `preferred` run at
    once, others wait for `delay_s`."""

    join: bool
    max_size: int
    sizes: frozenset[int] = frozenset()
    preferred: frozenset[int] = frozenset()
    delay_s: float = 0.0


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """Run the first `take` requests; when that is 0, ask again in `wait_s` seconds."""

    take: int
    wait_s: float = 0.0


_ONE = BatchPlan(1)
_GAIN = 1.1
_TURN_MIN_S, _TURN_MAX_S = 0.0025, 0.05


def batch_rules(config: ModelConfig, run_s: Mapping[int, float]) -> BatchRules:
    """The rules of a model whose warmed batch sizes took these seconds (0: not measured).

    A config that asks for nothing, neither for sizes nor for a delay, gets the size that pays: see `paying_size`.
    """
    batching = config.batching
    if batching is None or config.max_batch_size <= 1:
        return BatchRules(join=False, max_size=max(config.max_batch_size, 1))
    warmed = frozenset(run_s) | {1}
    asks = batching.preferred_batch_sizes or batching.max_queue_delay_us
    largest = config.max_batch_size if asks else min(paying_size(run_s) or config.max_batch_size, config.max_batch_size)
    return BatchRules(
        join=largest > 1,
        max_size=largest,
        sizes=warmed,
        preferred=warmed.intersection(batching.preferred_batch_sizes),
        delay_s=batching.max_queue_delay_us / 1e6,
    )


def paying_size(run_s: Mapping[int, float]) -> int | None:
    """The smallest batch size whose seconds per element are within a tenth of the best; None when not all were
    measured.

    Larger ones gain nothing and make everyone wait for the slowest: on a CPU a large network often runs one picture at
    a time as quickly as eight. 1: 40 ms, 2: 79 ms, 4: 156 ms gives 1; 1: 0.05 ms, 8: 0.28 ms, 16: 0.56 ms gives 8.
    """
    if not run_s or min(run_s.values()) <= 0:
        return None
    best = min(seconds / size for size, seconds in run_s.items())
    return min(size for size, seconds in run_s.items() if seconds / size <= best * _GAIN)


def plan_batch(waiting: Iterable[Waiting], rules: BatchRules, now_s: float) -> BatchPlan:
    """The plan for a queue with at least one request, in the order in which it is to be served."""
    if not rules.join:
        return _ONE
    total = warmed = preferred = 0
    can_grow, oldest_s, shapes = True, now_s, None
    for count, request in enumerate(waiting, 1):
        if count == 1:
            shapes = request.shapes
        elif request.shapes != shapes or total + request.batch > rules.max_size:
            can_grow = False
            break
        total += request.batch
        oldest_s = min(oldest_s, request.arrived_s)
        if total in rules.sizes:
            warmed = count
        if total in rules.preferred:
            preferred = count
        if total >= rules.max_size:
            can_grow = False
            break
    if preferred:
        return BatchPlan(preferred)
    wait_s = oldest_s + rules.delay_s - now_s
    if can_grow and wait_s > 0:
        return BatchPlan(0, wait_s)
    return BatchPlan(warmed or 1)


def turn_end_s(now_s: float, dispatched_s: float) -> float:
    """Until when a turn of the event loop that is at `now_s` goes on with brief runs, the last of which ended at
    `dispatched_s`: for as long as the loop was away with other things, within bounds.

    With one run a turn, a loop that is busy refusing would starve those whom it let in.
    """
    return now_s + min(max(now_s - dispatched_s, _TURN_MIN_S), _TURN_MAX_S)


def queue_level(priority: Priority, batching: DynamicBatching | None) -> int:
    """The level at which a request waits; 1 is served first.

    A config with `priority_levels` n gives HIGH the first level, LOW the last, and NORMAL, which is also every request
    that names no priority, its `default_priority_level`.
    """
    if batching is None or batching.priority_levels == 0:
        return int(priority)
    if priority is Priority.NORMAL:
        return batching.default_priority_level or min(Priority.NORMAL, batching.priority_levels)
    return 1 if priority is Priority.HIGH else batching.priority_levels
