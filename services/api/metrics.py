"""The text of `/metrics`: what the processes count, what the job store counts for all of them, and what is around."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from services.api.job_parts import JobParts
from services.shared.deferred import Deferred
from services.shared.drift.reader import DriftReader
from services.shared.errors import ServingError
from services.shared.telemetry.host_metrics import HostMetrics, StoreSeen

_STORE_S = 1.0  # a scrape does not wait longer for a store that hangs


class Metrics:
    """`total` gives what is counted here, in Prometheus' text format. `certificate` is the one that is served with."""

    def __init__(
        self,
        total: Callable[[], bytes],
        jobs: Deferred[JobParts],
        *,
        data_dir: Path,
        certificate: Path | None = None,
        drift: DriftReader | None = None,
    ) -> None:
        self._total = total
        self._jobs = jobs
        self._drift = drift
        self._store: StoreSeen | None = None
        self._host = HostMetrics(data_dir, certificate=certificate, store=lambda: self._store)

    async def __call__(self) -> bytes:
        """Without the numbers of jobs while their store is away."""
        of_jobs = await self._of_jobs()
        of_drift = b"" if self._drift is None else await asyncio.to_thread(_drift, self._drift)
        return self._total() + of_jobs + of_drift + self._host()

    async def _of_jobs(self) -> bytes:
        from services.shared.telemetry.job_metrics import render_jobs

        parts = self._jobs.made
        if parts is None:
            return b""
        try:
            async with asyncio.timeout(_STORE_S):
                stats = await parts.watch.stats()
        except (ServingError, TimeoutError):
            self._store = StoreSeen(False, parts.watch.clock_offset_s)
            return b""
        self._store = StoreSeen(True, parts.watch.clock_offset_s)
        return render_jobs(stats)


def _drift(reader: DriftReader) -> bytes:
    from services.shared.telemetry.drift_metrics import render_drift

    return render_drift(reader.reports())
