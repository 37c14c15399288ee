"""The text of `/metrics`: what the processes count, and what the job store counts for all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from services.api.job_parts import JobParts
from services.shared.deferred import Deferred
from services.shared.errors import ServingError

_STORE_S = 1.0  # a scrape does not wait longer for a store that hangs


class Metrics:
    """`total` gives what is counted here, in Prometheus' text format."""

    def __init__(self, total: Callable[[], bytes], jobs: Deferred[JobParts]) -> None:
        self._total = total
        self._jobs = jobs

    async def __call__(self) -> bytes:
        """Without the numbers of jobs while their store is away."""
        return self._total() + await self._of_jobs()

    async def _of_jobs(self) -> bytes:
        from services.shared.telemetry.job_metrics import render_jobs

        parts = self._jobs.made
        if parts is None:
            return b""
        try:
            async with asyncio.timeout(_STORE_S):
                return render_jobs(await parts.watch.stats())
        except (ServingError, TimeoutError):
            return b""
