"""Load, unload and promote: one write to the desired set, then waiting for every live process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace

from services.shared.clock import Clock, SystemClock
from services.shared.errors import Conflict, InferenceFailed, NotFound, Unavailable
from services.shared.fleet.base import LIVE_S, Desired, FleetStore, Heartbeat
from services.shared.fleet.live import live
from services.shared.model_ref import ModelRef
from services.shared.repository.base import ModelRepository

_POLL_S = 0.05
_GRACE_S = LIVE_S + 1.0  # how long an answer may wait for a first live process

Settled = Callable[[Heartbeat], bool]


class FleetControl:
    """A ModelControl over a FleetStore. `timeout_s` bounds the wait for the slowest process."""

    def __init__(
        self, store: FleetStore, repository: ModelRepository, *, clock: Clock | None = None, timeout_s: float = 300.0
    ) -> None:
        self._store = store
        self._repository = repository
        self._clock = clock or SystemClock()
        self._timeout_s = timeout_s

    async def load(self, name: str, version: int | None = None) -> None:
        refs = await asyncio.to_thread(self._refs, name, version)
        before = await self._store.desired()
        written = await self._change(
            lambda d: replace(d, loaded={**d.loaded, **{ref: d.loaded.get(ref, 0) + 1 for ref in refs}})
        )
        wanted = {ref: written.loaded[ref] for ref in refs}
        try:
            live = await self._wait(written.revision, lambda beat: _has_tried(beat, wanted))
            failures = _failures(live, wanted)
            if failures:
                raise InferenceFailed(f"{name} was not loaded: {'; '.join(failures)}")
        except BaseException:
            await asyncio.shield(self._change(lambda d: _restored(d, before, wanted)))
            raise
        await self._change(lambda d: replace(d, defaults={name: max(refs), **d.defaults}))

    async def unload(self, name: str, version: int | None = None) -> None:
        def without(desired: Desired) -> Desired:
            gone = {ref for ref in desired.loaded if ref.name == name and version in (None, ref.version)}
            if not gone:
                raise NotFound(f"{name if version is None else ModelRef(name, version)} is not loaded")
            return replace(desired, loaded={ref: g for ref, g in desired.loaded.items() if ref not in gone})

        written = await self._change(without)
        await self._wait(
            written.revision,
            lambda beat: not any(ref.name == name and ref not in written.loaded for ref in beat.reports),
        )

    async def promote(self, name: str, ref: ModelRef) -> None:
        def promoted(desired: Desired) -> Desired:
            if ref not in desired.loaded:
                raise Conflict(f"{ref} is not loaded: load it before it becomes the default of {name}")
            return replace(desired, defaults={**desired.defaults, name: ref})

        live = self._live(await self._store.heartbeats())
        missing = [b.process_id for b in live if ref not in b.reports or b.reports[ref].state != "loaded"]
        if missing:
            raise Conflict(f"{ref} is not loaded by every process: missing in {', '.join(missing)}")
        await self._change(promoted)

    def _refs(self, name: str, version: int | None) -> tuple[ModelRef, ...]:
        versions = self._repository.versions(name)
        if version is None:
            chosen = self._repository.config(name).version_policy.select(versions)
            if not chosen:
                raise NotFound(f"{name} has no version that its version_policy would load")
        elif version in versions:
            chosen = (version,)
        else:
            raise NotFound(f"{name} has no version {version}: there are {', '.join(map(str, versions)) or 'none'}")
        return tuple(ModelRef(name, v) for v in chosen)

    async def _change(self, change: Callable[[Desired], Desired]) -> Desired:
        while True:
            before = await self._store.desired()
            after = change(before)
            if after == before:
                return before
            try:
                return await self._store.put(after, expected_revision=before.revision)
            except Conflict:
                continue

    def _live(self, heartbeats: tuple[Heartbeat, ...]) -> list[Heartbeat]:
        """The live engines: whoever only routes loads nothing."""
        return [beat for beat in live(heartbeats, self._clock.now()) if beat.serves]

    async def _wait(self, revision: int, settled: Settled) -> list[Heartbeat]:
        """The live processes, once all have seen the revision and settled; raises Unavailable when they do not."""
        start = self._clock.monotonic()
        while True:
            live = self._live(await self._store.heartbeats())
            if live and all(beat.seen_revision >= revision and settled(beat) for beat in live):
                return live
            waited = self._clock.monotonic() - start
            if not live and waited > _GRACE_S:
                raise Unavailable("no serving process reports: is one running?", retry_after_s=5.0)
            if waited > self._timeout_s:
                late = ", ".join(b.process_id for b in live if not (b.seen_revision >= revision and settled(b)))
                raise Unavailable(f"not every process has followed within {self._timeout_s:g} s: {late}")
            await asyncio.sleep(_POLL_S)


def _has_tried(beat: Heartbeat, wanted: Mapping[ModelRef, int]) -> bool:
    return all(
        ref in beat.reports
        and beat.reports[ref].generation >= generation
        and beat.reports[ref].state in ("loaded", "failed")
        for ref, generation in wanted.items()
    )


def _failures(live: list[Heartbeat], wanted: Mapping[ModelRef, int]) -> list[str]:
    reasons = {
        f"{ref}: {beat.reports[ref].reason}" for beat in live for ref in wanted if beat.reports[ref].state == "failed"
    }
    return sorted(reasons)


def _restored(desired: Desired, before: Desired, wanted: Mapping[ModelRef, int]) -> Desired:
    """The set without what a failed load asked for: as it was for these versions, unless somebody asked again since."""
    loaded = dict(desired.loaded)
    for ref, generation in wanted.items():
        if loaded.get(ref) != generation:
            continue
        if ref in before.loaded:
            loaded[ref] = before.loaded[ref]
        else:
            del loaded[ref]
    return replace(desired, loaded=loaded)
