"""What processes that route share: they follow the releases of the store, and tell it what the arms did."""

from __future__ import annotations

import asyncio
from pathlib import Path

from services.shared.clock import SystemClock
from services.shared.observations.base import ObservationStore
from services.shared.observations.publisher import EvidencePublisher
from services.shared.observations.redis import RedisObservationStore
from services.shared.release_store.base import ReleaseStore
from services.shared.release_store.follower import ReleaseFollower, Routings
from services.shared.release_store.last_known import LastKnownRouting
from services.shared.release_store.redis import RedisReleaseStore
from services.shared.router import Router


class ReleaseFollowing:
    """`router` routes as the store says, within a second of every change; while the store is away, as it last did.

    What a process with an `incarnation` counts is published under that name; one without publishes nothing: what jobs
    do is no evidence about live traffic. Belongs to one event loop.
    """

    def __init__(self, redis_url: str, data_dir: Path, router: Router, *, incarnation: str = "") -> None:
        self._router = router
        self._releases: ReleaseStore = RedisReleaseStore(redis_url)
        self._observations: ObservationStore = RedisObservationStore(redis_url)
        self._follower = ReleaseFollower(self._releases, LastKnownRouting(data_dir), self._tell)
        publisher = EvidencePublisher(
            self._observations, incarnation, router.counters, self._routed, clock=SystemClock()
        )
        self._publisher = publisher if incarnation else None

    @property
    def revision(self) -> int:
        """The store's that this process routes by, NEVER until the store has answered."""
        return self._follower.revision

    async def start(self) -> None:
        """Returns when the router knows what the store says, or the machine's last knowledge where the store is away;
        never raises."""
        await self._follower.start()

    async def run(self) -> None:
        """Follows and publishes until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follower.run(), name="release follower")
            if self._publisher is not None:
                tasks.create_task(self._publisher.run(), name="evidence publisher")

    async def close(self) -> None:
        """Publishes what was counted last, when `run` has ended; bounded in time."""
        if self._publisher is not None:
            await self._publisher.finish()
        await self._observations.close()
        await self._releases.close()

    def _tell(self, routings: Routings) -> None:
        self._router.routings = routings

    def _routed(self) -> frozenset[str]:
        return frozenset(routing.release for routing in self._router.routings.values())
