"""What one process of the API on one core needs for a request, as it was measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

INLINE_S = 0.0025  # what is expected to be as brief as this is done in the event loop: runs, and tiny pictures


@dataclass(frozen=True, slots=True)
class ServiceTimes:
    """Seconds. `decode_s` has a value for each picture that was measured. `run_s` is by batch size, from 1 without a
    gap, and `run_spread` how single runs lay around their mean (factors). `loop_s` is the processor time of everything
    else in the process: HTTP, JSON, queues, log. `wire_s` is what passes while the process does nothing for the
    request: sockets, the system's scheduler, the client itself.
    """

    decode_s: tuple[float, ...]
    run_s: Mapping[int, float]
    run_spread: tuple[float, ...]
    loop_s: float
    wire_s: float

    @property
    def mean_decode_s(self) -> float:
        return sum(self.decode_s) / len(self.decode_s)

    @property
    def alone_s(self) -> float:
        """Of a request that meets no other."""
        return self.wire_s + self.loop_s + self.mean_decode_s + self.run_s[1]

    def core_s(self, batch: int) -> float:
        """What a request takes of the core when `batch` of them run together."""
        return self.loop_s + self.mean_decode_s + self.run_s[batch] / batch


def service_times(
    decode_s: tuple[float, ...], run_s: Mapping[int, float], single_s: tuple[float, ...], *,
    alone_s: float, busy_s: float, batch: int,
) -> ServiceTimes:  # fmt: skip
    """Takes apart what was measured from outside. `single_s` are runs of one; `alone_s` is a request's latency with one
    client, `busy_s` its processor time when many ask at once, in batches of `batch`.

    10 ms of processor time, of which 3 are decoding and 5 a picture's part of a run, leave 2 for the loop; of a latency
    of 12 ms with one client, whose run takes 6, then 1 is spent elsewhere.
    """
    mean_decode_s, mean_single_s = sum(decode_s) / len(decode_s), sum(single_s) / len(single_s)
    loop_s = max(busy_s - mean_decode_s - run_s[batch] / batch, 0.05 * busy_s)  # what was measured apart may overlap
    wire_s = max(alone_s - mean_decode_s - mean_single_s - loop_s, 0.0)
    spread = tuple(each / mean_single_s for each in single_s)
    return ServiceTimes(decode_s, dict(run_s), spread, loop_s, wire_s)
