"""The queue that nothing can beat: requests served in order, each for the same time, by so many servers (M/D/c)."""

from __future__ import annotations

import heapq
from collections.abc import Iterable


def latencies_s(due_s: Iterable[float], service_s: float, servers: int) -> list[float]:
    """How long each of these arrivals (ascending) is there: it waits for the server that is free first (Kiefer and
    Wolfowitz, 1955)."""
    free_s = [0.0] * servers
    found = []
    for at_s in due_s:
        end_s = max(at_s, free_s[0]) + service_s
        heapq.heapreplace(free_s, end_s)
        found.append(end_s - at_s)
    return found
