"""A Serving over the in-memory twin, for the API's own tests."""

from __future__ import annotations

from services.shared.fleet.base import Desired
from services.shared.fleet.follower import FleetFollower
from services.shared.fleet.memory import MemoryFleetStore
from services.shared.inference.fake import FakeInference, FakeModel
from services.shared.inference.readiness import Readiness
from services.shared.inference.remote_control import RemoteControl
from services.shared.model_ref import ModelRef
from services.shared.wiring import Serving


class FakeServing(Serving):
    """Every model's version 1 is its default."""

    def __init__(self, *models: FakeModel) -> None:
        self.fake = FakeInference(models)
        self.client = self.fake
        self.store = MemoryFleetStore()
        self._names = [model.config.name for model in models]
        self.follower = FleetFollower(self.store)
        self.control = RemoteControl(self.client, self.store)
        self.readiness = Readiness(self.client, lambda: self.follower.current.defaults)

    async def start(self) -> None:
        refs = {name: ModelRef(name, 1) for name in self._names}
        await self.store.put(Desired(0, dict.fromkeys(refs.values(), 1), refs), expected_revision=0)
        await self.follower.refresh()

    async def close(self, drain_s: float) -> None:
        await self.client.close()
