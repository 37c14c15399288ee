"""Tells the store what this process has counted about releases: every second, and at once when errors begin."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection

from services.shared.clock import Clock
from services.shared.errors import ServingError
from services.shared.observations.base import ObservationStore
from services.shared.observations.recent_keys import RecentKeys
from services.shared.release.release_counters import ReleaseCounters, ReleaseSnapshot

_log = logging.getLogger(__name__)

PERIOD_S = 1.0
# The first error is published at once, those that follow after the shortest time, which doubles up to the longest while
# they come: a burst is in the store while it is young, and a bad hour costs four writes a second.
SHORTEST_S, LONGEST_S = 0.05, 0.25
FORGET_S = 600.0  # a release that nothing is routed by: later answers are of requests that hung
FINISH_S = 2.0


class EvidencePublisher:
    """`routed` gives the ids of the releases that requests are routed by now. What is counted for another one is
    forgotten after FORGET_S. A store that is away is tried again with every period, and never an error here."""

    def __init__(
        self,
        store: ObservationStore,
        incarnation: str,
        counters: ReleaseCounters,
        routed: Callable[[], Collection[str]],
        *,
        clock: Clock,
    ) -> None:
        self._store = store
        self._incarnation = incarnation
        self._counters = counters
        self._routed = routed
        self._clock = clock
        self._erred = asyncio.Event()
        self._gap_s = SHORTEST_S
        self._published_s = clock.monotonic()
        self._unrouted_since: dict[str, float] = {}
        self._keys = RecentKeys()
        self._away = False

    async def run(self) -> None:
        """Until cancelled."""
        self._counters.on_error = self._erred.set
        try:
            while True:
                await self._pause()
                await self.publish()
        finally:
            self._counters.on_error = None

    async def finish(self) -> None:
        """Publishes what was counted last, when `run` has ended; within FINISH_S."""
        try:
            async with asyncio.timeout(FINISH_S):
                await self.publish(newest_keys=True)
        except TimeoutError:
            _log.warning("what was counted last is not published: the store does not answer")

    async def publish(self, *, newest_keys: bool = False) -> bool:
        """Whether the store has it now; distinct keys may be those of some seconds ago."""
        self._erred.clear()
        self._published_s = self._clock.monotonic()
        totals = self._counters.snapshot()
        if not newest_keys:
            totals = self._keys.of(totals, self._published_s)
        try:
            await self._store.publish(self._incarnation, totals)
        except Exception as error:  # serving must not end with its bookkeeping, whatever it is
            if not self._away:
                reason = error.detail if isinstance(error, ServingError) else repr(error)
                _log.warning("what was counted about releases cannot be published", extra={"reason": reason})
            self._away = True
            return False
        if self._away:
            _log.info("what was counted about releases is published again")
        self._away = False
        self._forget_unrouted(totals)
        return True

    async def _pause(self) -> None:
        """Until the next time to publish."""
        try:
            async with asyncio.timeout(PERIOD_S):
                await self._erred.wait()
        except TimeoutError:
            self._gap_s = SHORTEST_S
            return
        left_s = self._gap_s - (self._clock.monotonic() - self._published_s)
        if left_s > 0:
            await asyncio.sleep(left_s)
            self._gap_s = min(2 * self._gap_s, LONGEST_S)
        else:
            self._gap_s = SHORTEST_S

    def _forget_unrouted(self, totals: ReleaseSnapshot) -> None:
        now_s, routed = self._clock.monotonic(), set(self._routed())
        counted = {key.release for key in totals.arms}
        since = {release: self._unrouted_since.get(release, now_s) for release in counted - routed}
        busy = {key.release for key, arm in totals.arms.items() if arm.in_flight}
        over = {release for release, since_s in since.items() if now_s - since_s >= FORGET_S} - busy
        for release in over:
            self._counters.forget(release)
        self._unrouted_since = {release: since_s for release, since_s in since.items() if release not in over}
