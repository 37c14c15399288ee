"""The releases as this process last knew them, so that no request waits for the store."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

from services.shared.errors import Unavailable
from services.shared.release.routing import ReleaseRouting
from services.shared.release.state import routing_of
from services.shared.release_store.base import NEVER, Releases, ReleaseStore
from services.shared.release_store.last_known import LastKnownRouting

_log = logging.getLogger(__name__)

WAIT_S = 10.0  # how long one question to the store lasts while nothing changes
RETRY_S = 0.25

Routings = Mapping[str, ReleaseRouting]


class ReleaseFollower:
    """Tells `tell` (a router) what the routings are: first those that this machine knew last, then the store's, within
    a second of every change. While the store is away the last ones stay. Belongs to one event loop.

    `revision` is the store's that this process routes by, NEVER until the store has answered.
    """

    def __init__(self, store: ReleaseStore, known: LastKnownRouting, tell: Callable[[Routings], None]) -> None:
        self._store = store
        self._known = known
        self._tell = tell
        self._routings: Routings = {}
        self._on_disk: Routings | None = None
        self._ask_since = NEVER
        self._away = False
        self.revision = NEVER

    async def start(self) -> None:
        """Reads what this machine knew last, then the store once if it answers; never raises."""
        self._routings = self._on_disk = await asyncio.to_thread(self._known.read)
        self._tell(self._routings)
        await self.look(timeout_s=0.0)

    async def run(self) -> None:
        """Follows until cancelled."""
        while True:
            if not await self.look(timeout_s=WAIT_S):
                await asyncio.sleep(RETRY_S)

    async def look(self, *, timeout_s: float) -> bool:
        """Waits so long for a change and takes it over; False, and never an error, when the store is away."""
        try:
            revision = await self._store.changed(self._ask_since, timeout_s=timeout_s)
            if revision != self._ask_since:
                await self._take_over(await self._store.list())
        except Unavailable as error:
            if not self._away:
                _log.warning("the release store is away, the last known routing stays", extra={"reason": error.detail})
            self._away = True
            self._ask_since = NEVER  # whatever comes back is read, even if it is an old copy
            return False
        if self._away:
            _log.info("the release store is back")
        self._away = False
        return True

    async def _take_over(self, releases: Releases) -> None:
        routings = {}
        for model, release in releases.by_model.items():
            routing = routing_of(release.plan, release.state)
            if routing is not None:
                routings[model] = routing
        for model in releases.unreadable:  # written by a newer version: what it was before is the best guess
            _log.error("a release cannot be read, its last known routing stays", extra={"model": model})
            if model in self._routings:
                routings[model] = self._routings[model]
        if routings != self._routings:
            self._tell(routings)
        self._routings = routings
        self.revision = self._ask_since = releases.revision
        if routings != self._on_disk:
            await self._keep(routings)

    async def _keep(self, routings: Routings) -> None:
        try:
            await asyncio.to_thread(self._known.write, routings)
        except Unavailable as error:
            _log.warning("the last known routing is not kept", extra={"reason": error.detail})
        else:
            self._on_disk = routings
