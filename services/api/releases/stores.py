"""What the routes of releases and of feedback work with."""

from __future__ import annotations

from dataclasses import dataclass

from services.shared.fleet.base import FleetStore
from services.shared.inference.base import InferenceClient
from services.shared.observations.base import ObservationStore
from services.shared.release_store.base import ReleaseStore
from services.shared.repository.base import ModelRepository


@dataclass(frozen=True, slots=True)
class ReleaseStores:
    """Of one process. `releases` and `observations` are its own; `repository` may not have every model that `client`
    serves, which may be a server elsewhere."""

    releases: ReleaseStore
    observations: ObservationStore
    fleet: FleetStore
    client: InferenceClient
    repository: ModelRepository

    async def close(self) -> None:
        await self.releases.close()
        await self.observations.close()
