"""Keeps one engine equal to the desired set, and says so: load what is missing, unload what is no longer wanted."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from services.shared.clock import Clock
from services.shared.engine.engine import Engine
from services.shared.engine.load_guard import Circumstances, LoadGuard
from services.shared.errors import NotFound, ServingError, Unavailable
from services.shared.fleet.base import HEARTBEAT_S, NEVER, Desired, FleetStore, Heartbeat, RefReport
from services.shared.fleet.follower import POLL_S, FleetFollower
from services.shared.model_ref import ModelRef

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Change:
    """What one version needs: a load of this generation, or (None) an unload."""

    ref: ModelRef
    generation: int | None


def changes(desired: Mapping[ModelRef, int], reports: Mapping[ModelRef, RefReport]) -> tuple[Change, ...]:
    """What an engine with these reports must do; versions that are busy are left until they are done."""
    loads = tuple(
        Change(ref, generation)
        for ref, generation in sorted(desired.items())
        if ref not in reports
        or (reports[ref].generation != generation and reports[ref].state not in ("loading", "unloading"))
    )
    unloads = tuple(
        Change(ref, None)
        for ref, report in sorted(reports.items())
        if ref not in desired and report.state not in ("loading", "unloading")
    )
    return unloads + loads


class Reconciler:
    """One per serving process. `start` returns at once; `close` ends the loop and retires the process.

    `routing_revision` gives what the heartbeats say of releases (`Heartbeat`); a new one is told at once.
    """

    def __init__(
        self,
        engine: Engine,
        store: FleetStore,
        follower: FleetFollower,
        *,
        process_id: str,
        clock: Clock,
        routing_revision: Callable[[], int | None] = lambda: NEVER,
        guard: LoadGuard | None = None,
    ) -> None:
        self._engine = engine
        self._guard = guard
        self._at_start: set[ModelRef] | None = None  # of the first desired set, what was not loaded yet
        self._store = store
        self._follower = follower
        self._process_id = process_id
        self._clock = clock
        self._routing_revision = routing_revision
        self._told_revision: int | None = NEVER
        self._reports: dict[ModelRef, RefReport] = {}
        self._in_memory: dict[ModelRef, int] = {}  # the generation that the engine really has
        self._seen_revision = 0
        self._dirty = True
        self._one_load = asyncio.Lock()  # loads are heavy: one at a time bounds memory and leaves cores to inference
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop_task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._loop_task = asyncio.create_task(self._run(), name="reconciler")

    async def close(self) -> None:
        tasks = [*self._tasks, *([self._loop_task] if self._loop_task else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        with contextlib.suppress(Unavailable):
            await self._store.retire(self._process_id)

    def missing(self) -> dict[ModelRef, str]:
        """The desired versions that do not answer yet, each with the reason; empty when the set is loaded."""
        desired: Desired = self._follower.current
        return {
            ref: self._reports[ref].reason or self._reports[ref].state if ref in self._reports else "waiting"
            for ref in desired.loaded
            if ref not in self._in_memory
        }

    @property
    def reports(self) -> Mapping[ModelRef, RefReport]:
        """What this process has, as its heartbeats tell it."""
        return self._reports

    async def _run(self) -> None:
        beaten_at = float("-inf")
        while True:
            desired = await self._follower.refresh()
            if self._at_start is None:
                self._at_start = set(desired.loaded)
            for change in changes(desired.loaded, self._reports):
                self._begin(change)
            if desired.revision != self._seen_revision:
                self._seen_revision, self._dirty = desired.revision, True
            self._dirty |= self._routing_revision() != self._told_revision
            if self._dirty or self._clock.monotonic() - beaten_at >= HEARTBEAT_S:
                self._dirty = False
                beaten_at = self._clock.monotonic()
                await self._beat()
            await asyncio.sleep(POLL_S / 2)

    async def _beat(self) -> None:
        revision = self._told_revision = self._routing_revision()
        beat = Heartbeat(self._process_id, self._clock.now(), self._seen_revision, dict(self._reports), revision)
        try:
            await self._store.beat(beat)
        except Unavailable as error:
            _log.warning("no heartbeat could be written", extra={"reason": error.detail})

    def _begin(self, change: Change) -> None:
        if change.generation is not None and self._in_memory.get(change.ref) == change.generation:
            self._report(change.ref, RefReport(change.generation, "loaded"))  # a failed reload was taken back
            return
        work = self._unload(change.ref) if change.generation is None else self._load(change.ref, change.generation)
        task = asyncio.create_task(work, name=f"reconcile {change.ref}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _load(self, ref: ModelRef, generation: int) -> None:
        self._report(ref, RefReport(generation, "loading"))
        try:
            async with self._one_load, self._guarded(ref):
                await self._engine.load(ref)
        except ServingError as error:
            _log.error("a model was not loaded", extra={"model": str(ref), "reason": error.detail})
            self._report(ref, RefReport(generation, "failed", error.detail))
        except Exception as error:
            _log.exception("a model was not loaded", extra={"model": str(ref)})
            self._report(ref, RefReport(generation, "failed", f"{type(error).__name__}: {error}"))
        else:
            self._in_memory[ref] = generation
            self._report(ref, RefReport(generation, "loaded"))
            _log.info("a model is loaded", extra={"model": str(ref), "generation": generation})

    def _guarded(self, ref: ModelRef) -> AbstractAsyncContextManager[None]:
        """What is held while a version is loaded. To be called when its load is due: what serves may have changed."""
        if self._guard is None:
            return contextlib.nullcontext()
        at_start = ref in (self._at_start or ())
        if self._at_start is not None:
            self._at_start.discard(ref)
        is_default = ref in self._follower.current.defaults.values()
        return self._guard.loading(ref, Circumstances(at_start, bool(self._in_memory), is_default))

    async def _unload(self, ref: ModelRef) -> None:
        if self._in_memory.pop(ref, None) is not None:
            self._report(ref, RefReport(0, "unloading"))
            with contextlib.suppress(NotFound):
                await self._engine.unload(ref)
            _log.info("a model is unloaded", extra={"model": str(ref)})
        self._reports.pop(ref, None)
        self._dirty = True

    def _report(self, ref: ModelRef, report: RefReport) -> None:
        self._reports[ref] = report
        self._dirty = True
