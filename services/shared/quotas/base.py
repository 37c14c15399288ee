"""What a limiter promises, and what a key's limits come to. The windows are pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from services.shared.keys.base import ApiKey

DAY_S = 86_400


class QuotaLimiter(Protocol):
    """Counts what each key asks for."""

    async def check(self, key: ApiKey, cost: int = 1) -> None:
        """Counts `cost` requests, or raises RateLimited saying which limit and when to try again.

        What is refused is not counted against the day. Returns within a fraction of a second whatever happens to the
        store: while that is away, each process counts for itself.
        """
        ...

    async def close(self) -> None:
        """Frees what the limiter holds; nothing is counted afterwards."""
        ...


@dataclass(frozen=True, slots=True)
class Window:
    """At most `amount` requests within any `seconds`."""

    amount: int
    seconds: int


def rate_windows(rate_per_s: float | None, burst: int) -> tuple[Window, ...]:
    """The windows that together mean "`rate_per_s` on average, never more than `burst` within a second".

    The average is kept over the shortest whole number of seconds in which the rate alone makes a burst, rounded down
    to whole requests:

        rate 10, burst 10   ->  10 in 1 s
        rate 10, burst 20   ->  20 in 2 s           (20 within one second is then implied)
        rate 10, burst 15   ->  15 in 1 s, 20 in 2 s
        rate 0.5, burst 1   ->  1 in 2 s
    """
    if rate_per_s is None:
        return ()
    seconds = max(1, math.ceil(round(burst / rate_per_s, 6)))
    average = Window(max(1, math.floor(round(rate_per_s * seconds, 6))), seconds)
    return (average,) if average.amount <= burst else (Window(burst, 1), average)


def day_of(now: float) -> int:
    """The UTC day that a Unix time is in, counted from 1970-01-01."""
    return int(now // DAY_S)


def until_next_day_s(now: float) -> float:
    """How long until midnight UTC."""
    return DAY_S - now % DAY_S
