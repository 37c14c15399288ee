"""The heartbeats of a process that routes requests and has no engine: its models are in a server elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Collection

from services.shared.clock import Clock
from services.shared.errors import Unavailable
from services.shared.fleet.base import HEARTBEAT_S, FleetStore, Heartbeat, RefReport
from services.shared.fleet.follower import POLL_S, FleetFollower
from services.shared.model_ref import ModelRef

_log = logging.getLogger(__name__)


class RoutingBeats:
    """`ready` gives what the server says it has; whatever is new is told at once."""

    def __init__(
        self,
        store: FleetStore,
        follower: FleetFollower,
        *,
        process_id: str,
        ready: Callable[[], Collection[ModelRef]],
        routing_revision: Callable[[], int | None],
        clock: Clock,
    ) -> None:
        self._store = store
        self._follower = follower
        self._process_id = process_id
        self._ready = ready
        self._routing_revision = routing_revision
        self._clock = clock

    async def run(self) -> None:
        """Beats until cancelled, and then retires the process; the follower is somebody else's to run."""
        told, told_at = None, float("-inf")
        try:
            while True:
                beat = self._beat()
                said = (beat.seen_revision, beat.routing_revision, beat.reports)
                if said != told or self._clock.monotonic() - told_at >= HEARTBEAT_S:
                    told, told_at = said, self._clock.monotonic()
                    await self._tell(beat)
                await asyncio.sleep(POLL_S / 2)
        finally:
            with contextlib.suppress(Unavailable):
                await self._store.retire(self._process_id)

    def _beat(self) -> Heartbeat:
        """The server says nothing of generations: what it has is what was last asked for, as far as is known."""
        desired = self._follower.current
        reports = {ref: RefReport(desired.loaded.get(ref, 0), "loaded") for ref in self._ready()}
        return Heartbeat(
            self._process_id, self._clock.now(), desired.revision, reports, self._routing_revision(), serves=False
        )

    async def _tell(self, beat: Heartbeat) -> None:
        try:
            await self._store.beat(beat)
        except Unavailable as error:
            _log.warning("no heartbeat could be written", extra={"reason": error.detail})
