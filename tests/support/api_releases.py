"""What the API's releases work with, in memory, and a fleet that has loaded what it is to have."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from services.api.releases.stores import ReleaseStores
from services.shared.clock import ManualClock
from services.shared.errors import Conflict, Unavailable
from services.shared.fleet.base import Heartbeat, RefReport
from services.shared.model_ref import ModelRef
from services.shared.observations.memory import MemoryObservationStore
from services.shared.release.advance import Event
from services.shared.release.state import ReleaseState
from services.shared.release_store.base import Release
from services.shared.release_store.memory import MemoryReleaseStore
from services.shared.repository.disk import DiskRepository
from tests.support.fake_serving import FakeServing

URL = "/v1/models/pets/release"
YAML = {"content-type": "application/yaml"}
PLAN = """model: pets
candidate: {model: pets, version: 2}
strategy: canary
steps:
  - {weight: 5, for: 60s, min_requests: 500}
  - {weight: 50, for: 300s}
guardrails:
  - {metric: error_rate, max_increase: 0.005}
"""


class BusyReleaseStore(MemoryReleaseStore):
    """`others` writers come between the reading and the writing of a release; `lost` makes only the answer of a write
    be lost, which is then refused as a store may."""

    def __init__(self) -> None:
        super().__init__()
        self.others = 0
        self.lost = False

    async def put(self, release: Release, *, expected_revision: int, event: Event | None = None) -> Release:
        if self.others:
            self.others -= 1
            between = await self.get(release.plan.model)
            await super().put(between, expected_revision=between.revision)
        written = await super().put(release, expected_revision=expected_revision, event=event)
        if self.lost:
            self.lost = False
            raise Conflict("no answer came")
        return written


class MemoryReleases:
    """Stores whose contents a test can look into and change. `missing` says why there are none."""

    def __init__(self, serving: FakeServing, models_dir: Path) -> None:
        self.clock = ManualClock()
        self.store = BusyReleaseStore()
        self.observations = MemoryObservationStore()
        self.models_dir = models_dir
        self.missing = ""
        self._serving = serving

    def stores(self) -> ReleaseStores:
        if self.missing:
            raise Unavailable(self.missing)
        repository = DiskRepository(self.models_dir)
        return ReleaseStores(self.store, self.observations, self._serving.store, self._serving.client, repository)

    async def become(self, model: str, **fields: object) -> Release:
        """Writes the release of a name with other fields of its state, as a controller does."""
        before = await self.store.get(model)
        state: ReleaseState = replace(before.state, **fields)  # type: ignore[arg-type]
        return await self.store.put(replace(before, state=state), expected_revision=before.revision)

    async def load(self, *refs: ModelRef) -> None:
        """These and no others are what every process is to have loaded, and what the only one has."""
        fleet = self._serving.store
        desired = await fleet.desired()
        wanted = replace(desired, loaded=dict.fromkeys(refs, 1))
        written = await fleet.put(wanted, expected_revision=desired.revision)
        reports = {ref: RefReport(1, "loaded") for ref in refs}
        await fleet.beat(Heartbeat("api-1", self.clock.now(), written.revision, reports))
