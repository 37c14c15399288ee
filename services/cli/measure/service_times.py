"""What one process of the API on one core needs for a request, as it was measured."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

INLINE_S = 0.0025  # a run that is expected to be as brief as this is done in the event loop
# Of what a core can do. Beyond it a queue's length is decided by the last percent of every estimate, and no forecast
# held in every measurement (docs/capacity.md).
MOST_ASKED = 0.7


@dataclass(frozen=True, slots=True)
class TurnTimes:
    """Of requests that are read, decoded, run and answered within one turn of the event loop, all that have come by
    then together: a turn takes `turn_s` however many they are, and `each_s` for each of them, `largest` at most.

    `interrupted_s` has, for turns with a single request, how much longer than the median each of them took: 0 for most.
    What interrupts them comes with time, so a turn that is five times as long is interrupted five times as often.
    """

    turn_s: float
    each_s: float
    largest: int
    interrupted_s: tuple[float, ...] = (0.0,)

    def of(self, requests: int) -> float:
        return self.turn_s + requests * self.each_s


_WAKING_S = 0.004  # after a pause of so long, 63 % of what waking takes at most


@dataclass(frozen=True, slots=True)
class ServiceTimes:
    """Seconds. `decode_s` has a value for each picture that was measured. `run_s` is by batch size, from 1 without a
    gap, and `run_spread` how single runs lay around their mean (factors). `loop_s` is the processor time of everything
    else in the process: HTTP, JSON, queues, log. `wire_s` is what passes while the process does nothing for the
    request: sockets, the system's scheduler, the client itself. `busy_s` is the whole processor time of a request while
    many ask at once: the core can do 1 / `busy_s` of them a second. `wake_s` is what the first request takes more of
    the core when that has paused for long: it slept, or others had it and its caches.

    With `turns` it is they that say what requests wait for, and decoding and running are parts of them.
    """

    decode_s: tuple[float, ...]
    run_s: Mapping[int, float]
    run_spread: tuple[float, ...]
    loop_s: float
    wire_s: float
    busy_s: float
    wake_s: float = 0.0
    turns: TurnTimes | None = None

    @property
    def mean_decode_s(self) -> float:
        return sum(self.decode_s) / len(self.decode_s)

    @property
    def alone_s(self) -> float:
        """Of a request that meets no other, nor finds the core awake."""
        if self.turns is not None:
            return self.wire_s + self.wake_s + self.turns.of(1)
        return self.wire_s + self.wake_s + self.loop_s + self.mean_decode_s + self.run_s[1]

    def waking_s(self, paused_s: float) -> float:
        """What a request takes more of the core after such a pause."""
        return self.wake_s * -math.expm1(-paused_s / _WAKING_S)


def service_times(
    decode_s: tuple[float, ...], run_s: Mapping[int, float], single_s: tuple[float, ...], *,
    alone_s: float, busy_s: float, batch: int, wake_s: float = 0.0,
) -> ServiceTimes:  # fmt: skip
    """Takes apart what was measured from outside. `single_s` are runs of one; `alone_s` is a request's latency with one
    client that asks without a pause, `busy_s` its processor time when many ask at once, in batches of `batch`.

    10 ms of processor time, of which 3 are decoding and 5 a picture's part of a run, leave 2 for the loop; of a latency
    of 12 ms with one client, whose run takes 6, then 1 is spent elsewhere. One client's decoding and runs may seem to
    take more than there was (a core that has just slept is slow): then they are less than they seemed.
    """
    mean_decode_s, mean_single_s = sum(decode_s) / len(decode_s), sum(single_s) / len(single_s)
    seen_s, most_s = mean_decode_s + run_s[batch] / batch, 0.95 * busy_s
    scale = min(1.0, most_s / seen_s) if seen_s else 1.0
    loop_s = busy_s - scale * seen_s
    wire_s = max(alone_s - scale * (mean_decode_s + mean_single_s) - loop_s, 0.0)
    spread = tuple(each / mean_single_s for each in single_s)
    runs = {size: scale * seconds for size, seconds in run_s.items()}
    return ServiceTimes(tuple(scale * each for each in decode_s), runs, spread, loop_s, wire_s, busy_s, wake_s)


@dataclass(frozen=True, slots=True)
class Together:
    """So many requests a turn in the mean, and the processor time of such a turn."""

    requests: float
    turn_s: float


def turn_times(one_s: tuple[float, ...], one: Together, many: Together, largest: int) -> tuple[TurnTimes, float]:
    """From the latencies of one client (`one_s`, at least one), and from turns with one request and with many; beside
    the times the part of a latency that is outside of the process.

    0.4 ms for a turn with one request and 2.5 ms for one with fifteen are 0.15 for each request and 0.25 for a turn.
    Processor time is a mean, with all that ever interrupted; where it is more than the median latency, that is what
    a turn takes that nothing interrupts.
    """
    median_s = sorted(one_s)[(len(one_s) - 1) // 2]
    calm = min(1.0, median_s / one.turn_s)
    single_s, several_s = calm * one.turn_s, calm * many.turn_s
    each_s = single_s
    if many.requests > 1.5:
        each_s = min(max((several_s - single_s) / (many.requests - 1), 0.05 * single_s), single_s)
    interrupted_s = tuple(max(seconds - median_s, 0.0) for seconds in one_s)
    return TurnTimes(single_s - each_s, each_s, largest, interrupted_s), median_s - single_s
