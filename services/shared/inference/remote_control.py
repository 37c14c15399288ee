"""Load, unload and promote where the models are served elsewhere."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace

from services.shared.errors import Conflict, ServingError
from services.shared.fleet.base import Desired, FleetStore
from services.shared.inference.base import IndexEntry, InferenceClient
from services.shared.inference.wished_versions import BringBack, WishedVersions
from services.shared.model_ref import ModelRef

_log = logging.getLogger(__name__)

SEED_S = 2.0  # how often the server is asked what it has, and which models have no default ref yet
WAITING_S = 0.5  # the same while it is yet to load something


class RemoteControl:
    """A ModelControl: the server loads and unloads, the store keeps what names mean and which versions are wished for.
    `bring_back`: see WishedVersions."""

    def __init__(self, client: InferenceClient, store: FleetStore, *, bring_back: BringBack | None = None) -> None:
        self._client = client
        self._store = store
        self._wished = WishedVersions(bring_back)
        self.ready: frozenset[ModelRef] = frozenset()  # what the server has, by its last answer; nothing without one

    async def load(self, name: str, version: int | None = None) -> None:
        await self._client.load(name, version)
        if version is not None:
            ref = ModelRef(name, version)
            await self._change(lambda d: replace(d, loaded={ref: d.revision + 1, **d.loaded}))
        await self.seed_defaults()

    async def unload(self, name: str, version: int | None = None) -> None:
        """What is unloaded is not wished for any more, or it would be brought back."""
        await self._client.unload(name, version)
        desired = await self._store.desired()
        gone = {
            r for r in (*desired.loaded, *desired.defaults.values()) if r.name == name and version in (None, r.version)
        }
        self._wished.unwish(gone)
        await self._change(lambda d: replace(d, loaded={r: g for r, g in d.loaded.items() if r not in gone}))

    async def promote(self, name: str, ref: ModelRef) -> None:
        if not await self._client.ready(ref):
            raise Conflict(f"{ref} is not loaded: load it before it becomes the default of {name}")
        await self._change(lambda d: replace(d, defaults={**d.defaults, name: ref}))

    async def seed_defaults(self) -> None:
        """Gives every name that the server has ready, and that has no default ref yet, its highest ready version."""
        index = await self._client.index()
        ready = highest_ready(index)
        self.ready = ready_refs(index)
        await self._change(lambda d: replace(d, defaults={**ready, **d.defaults}))

    async def run(self) -> None:
        """Seeds again and again until cancelled: a remote server may get models by other ways than ours."""
        try:
            while True:
                try:
                    await self.seed_defaults()
                    self._wished.look(await self._store.desired(), self.ready)
                except ServingError as error:
                    self.ready = frozenset()
                    self._wished.server_is_away()
                    _log.warning("the model server's models cannot be listed", extra={"reason": error.detail})
                await asyncio.sleep(await self._pause_s())
        finally:
            await self._wished.close()

    async def _change(self, change: Callable[[Desired], Desired]) -> None:
        """Writes what becomes of the desired set, unless it stays as it is."""
        while True:
            before = await self._store.desired()
            after = change(before)
            if after == before:
                return
            try:
                await self._store.put(after, expected_revision=before.revision)
            except Conflict:
                continue
            return

    async def _pause_s(self) -> float:
        """A version that a release waits for is asked about more often."""
        try:
            waiting = self.ready and not self.ready.issuperset((await self._store.desired()).loaded)
        except ServingError:
            return SEED_S
        return WAITING_S if waiting else SEED_S


def highest_ready(index: tuple[IndexEntry, ...]) -> dict[str, ModelRef]:
    """Each name with its highest version that is READY."""
    found: dict[str, ModelRef] = {}
    for ref in ready_refs(index):
        found[ref.name] = max(found.get(ref.name, ref), ref)
    return found


def ready_refs(index: tuple[IndexEntry, ...]) -> frozenset[ModelRef]:
    """Every version that is READY."""
    return frozenset(
        ModelRef(entry.name, entry.version) for entry in index if entry.state == "READY" and entry.version is not None
    )
