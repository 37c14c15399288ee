"""How much an explanation may ask of a model, and how much at once. Pure."""

from __future__ import annotations

MIN_EVALUATIONS, MAX_EVALUATIONS = 16, 2000  # that may be asked for
DEFAULT_MIN, DEFAULT_MAX = 64, 400  # where none is asked for
BUDGET_S = 2.0  # of runs, where none is asked for: as long as somebody waits for a picture
PATIENCE_S = 6.0  # after which, beside others' requests, the least is enough
# Of one run: somebody who comes in its middle waits for its end, whatever its priority.
RUN_S = 0.02
_REST, _LONGEST_REST_S = 3.0, 0.25


def planned(asked: int | None, each_s: float) -> int:
    """How many evaluations, when one takes `each_s`: as many as were asked for, else what BUDGET_S has room for.

    0.1 ms: 400; 10 ms: 200; 50 ms: 64.
    """
    if asked is not None:
        return asked
    return int(min(max(BUDGET_S / max(each_s, 1e-6), DEFAULT_MIN), DEFAULT_MAX))


def at_once(each_s: float, largest: int) -> int:
    """How many in one run: those that RUN_S has room for, as a power of two, which is what was warmed up; at most
    `largest`, the model's own limit."""
    room = max(1, min(int(RUN_S / max(each_s, 1e-6)), largest))
    return int(1 << (room.bit_length() - 1))


def is_enough(asked: int | None, done: int, elapsed_s: float) -> bool:
    """Whether what was done is an explanation though more was planned: the runs take longer than they did alone."""
    return asked is None and done >= DEFAULT_MIN and elapsed_s >= PATIENCE_S


def rest_s(ran_s: float) -> float:
    """How long to keep away after a run while others want the model: it leaves them three quarters of the time."""
    return min(_REST * ran_s, _LONGEST_REST_S)
