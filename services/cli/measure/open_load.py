"""What an open loop gave: each request's times and status, and what is told from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from services.cli.measure.connection_pool import BROKEN
from services.cli.measure.load import percentile

Floats = np.ndarray[Any, np.dtype[np.float64]]
Ints = np.ndarray[Any, np.dtype[np.int32]]
OK = 200
REFUSED = (429, 503)


@dataclass(frozen=True, slots=True, eq=False)
class OpenLoad:
    """One entry for each request: when it was due, left and was answered (seconds since the run's begin; NaN where it
    did not), and the answer's status, BROKEN without one. `cpu_s` is what the generator itself used."""

    due_s: Floats
    sent_s: Floats
    done_s: Floats
    status: Ints
    connections: int
    cpu_s: float

    def statuses(self) -> dict[int, int]:
        """How many answers of each status, in order."""
        found, counts = np.unique(self.status, return_counts=True)
        return dict(zip(found.tolist(), counts.tolist(), strict=True))

    def between(self, begin_s: float, end_s: float) -> OpenLoad:
        """Of the requests that were due in that time. `cpu_s` stays that of the whole run."""
        of = (self.due_s >= begin_s) & (self.due_s < end_s)
        return OpenLoad(self.due_s[of], self.sent_s[of], self.done_s[of], self.status[of], self.connections, self.cpu_s)

    def goodput(self, begin_s: float, end_s: float) -> float:
        """Answers with 200 for each second of that time, by when they came."""
        good = self.done_s[self.status == OK]
        return float(((good >= begin_s) & (good < end_s)).sum()) / (end_s - begin_s)

    def latencies_ms(self, *statuses: int) -> list[float]:
        """Of the answers with such a status, from when they were due; ascending."""
        of = np.isin(self.status, statuses)
        ascending: list[float] = np.sort(1000 * (self.done_s[of] - self.due_s[of])).tolist()
        return ascending

    @property
    def late_p99_ms(self) -> float:
        """How late all but one in a hundred of the requests left: what the generator itself adds to latencies."""
        late_s = (self.sent_s - self.due_s)[~np.isnan(self.sent_s)]
        return 1000 * percentile(np.sort(late_s).tolist(), 0.99)

    @property
    def broken(self) -> int:
        return int((self.status == BROKEN).sum())

    @property
    def errors(self) -> int:
        """Neither answered nor refused as an overloaded server does."""
        return int((~np.isin(self.status, (OK, *REFUSED))).sum())

    @property
    def cpu_ms_per_request(self) -> float:
        return 1000 * self.cpu_s / len(self.status) if len(self.status) else 0.0
