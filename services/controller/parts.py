"""Everything of a controller, wired in one place."""

from __future__ import annotations

import os
from dataclasses import dataclass

from services.controller.counters import ControllerCounters, render
from services.controller.lease import Leadership, Lease
from services.controller.queries import NoQueries, PrometheusQueries
from services.controller.redis import RedisLease
from services.controller.settings import ControllerSettings
from services.controller.tick import Controller, Stores
from services.shared.clock import SystemClock
from services.shared.fleet.file import FileFleetStore
from services.shared.observations.redis import RedisObservationStore
from services.shared.release_store.redis import RedisReleaseStore
from services.shared.telemetry.host_metrics import HostMetrics, StoreSeen
from services.shared.telemetry.process_metrics import render_processes


@dataclass(frozen=True, slots=True)
class ControllerParts:
    """`queries` is None where there is no Prometheus to ask."""

    controller: Controller
    leadership: Leadership
    stores: Stores
    counters: ControllerCounters
    lease: Lease
    queries: PrometheusQueries | None
    host: HostMetrics

    def metrics(self) -> bytes:
        """Prometheus' text format."""
        own = render(self.counters, leads=self.leadership.held)
        return own + render_processes([os.getpid()]) + self.host()

    async def close(self) -> None:
        await self.leadership.give_back()
        await self.lease.close()
        await self.stores.observations.close()
        await self.stores.releases.close()


def build_parts(settings: ControllerSettings) -> ControllerParts:
    """Nothing runs yet. To be called in the loop that will work."""
    clock, counters = SystemClock(), ControllerCounters()
    stores = Stores(
        RedisReleaseStore(settings.redis_url),
        RedisObservationStore(settings.redis_url),
        FileFleetStore(settings.data_dir / "fleet"),
    )
    lease = RedisLease(settings.redis_url)
    # Not the name that `services.shared.wiring` makes: that would bring the runtimes of models along.
    leadership = Leadership(lease, f"controller-{os.getpid()}-{os.urandom(4).hex()}", clock)
    queries = PrometheusQueries(settings.prometheus_url) if settings.prometheus_url else None
    controller = Controller(stores, queries or NoQueries(), leadership, counters, clock)

    def store() -> StoreSeen | None:
        offset_s = lease.clock_offset_s
        return StoreSeen(not leadership.away, offset_s) if leadership.away or offset_s is not None else None

    host = HostMetrics(settings.data_dir, store=store)
    return ControllerParts(controller, leadership, stores, counters, lease, queries, host)
