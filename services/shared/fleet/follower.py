"""The desired set as this process last saw it, in memory, so that no request waits for the store."""

from __future__ import annotations

import asyncio
import logging

from services.shared.errors import Conflict, NotFound, Unavailable
from services.shared.fleet.base import Desired, FleetStore
from services.shared.model_ref import ModelRef
from services.shared.repository.base import ModelRepository

_log = logging.getLogger(__name__)

POLL_S = 0.1


class FleetFollower:
    """Follows a store within POLL_S; keeps the last known set while the store is away."""

    def __init__(self, store: FleetStore) -> None:
        self._store = store
        self._away = False
        self.current = Desired()

    async def refresh(self) -> Desired:
        """Reads the store once; never raises."""
        try:
            self.current = await self._store.desired()
        except Unavailable as error:
            if not self._away:
                _log.warning("the fleet store is away, the last known set stays", extra={"reason": error.detail})
            self._away = True
        else:
            self._away = False
        return self.current

    async def run(self) -> None:
        """Follows until cancelled."""
        while True:
            await self.refresh()
            await asyncio.sleep(POLL_S)

    def resolve(self, name: str, version: int | None = None) -> ModelRef:
        """The version that answers for a name: the one named, else the name's default ref. Raises NotFound."""
        if version is not None:
            return ModelRef(name, version)
        ref = self.current.defaults.get(name)
        if ref is None:
            raise NotFound(f"Request for unknown model: '{name}' is not found", field="model")
        return ref


def seeded(desired: Desired, repository: ModelRepository) -> Desired:
    """The set with every model of the repository that it does not know yet: what its version policy says is loaded,
    the highest of these is its default ref. Models that cannot be read are left out. Blocks."""
    loaded, defaults = dict(desired.loaded), dict(desired.defaults)
    for name in repository.names():
        if name in defaults:
            continue
        try:
            versions = repository.config(name).version_policy.select(repository.versions(name))
        except Exception as error:  # one unreadable model must not keep the others from serving
            _log.warning("a model cannot be read", extra={"model": name, "reason": str(error)})
            continue
        for version in versions:
            loaded.setdefault(ModelRef(name, version), 1)
        if versions:
            defaults[name] = ModelRef(name, versions[-1])
    return Desired(desired.revision, loaded, defaults)


async def seed(store: FleetStore, repository: ModelRepository) -> None:
    """Adds the repository's unknown models to the desired set; several processes may do so at once."""
    while True:
        before = await store.desired()
        after = await asyncio.to_thread(seeded, before, repository)
        if after == before:
            return
        try:
            await store.put(after, expected_revision=before.revision)
        except Conflict:
            continue
        return
