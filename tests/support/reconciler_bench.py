"""A reconciler over a fake backend, with what a test needs around it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from services.shared.backends.base import Placement
from services.shared.backends.fake import FakeBackend, FakeScript
from services.shared.clock import ManualClock
from services.shared.engine.engine import Engine
from services.shared.engine.reconciler import Reconciler
from services.shared.errors import Unavailable
from services.shared.fleet.base import Desired, Heartbeat, RefReport
from services.shared.fleet.follower import FleetFollower
from services.shared.fleet.memory import MemoryFleetStore
from services.shared.model_ref import ModelRef
from services.shared.repository.memory import MemoryRepository, StoredModel
from tests.support.configs import config_text
from tests.support.polling import BOUND_S

ME = "api-1"
X = np.ones((1, 4), np.float32)


class LeavingStore(MemoryFleetStore):
    """A store that is away while `away` is set; `beats` counts the heartbeats that it got."""

    def __init__(self) -> None:
        super().__init__()
        self.away = False
        self.beats = 0

    async def desired(self) -> Desired:
        self._here()
        return await super().desired()

    async def beat(self, heartbeat: Heartbeat) -> None:
        self._here()
        self.beats += 1
        await super().beat(heartbeat)

    async def retire(self, process_id: str) -> None:
        self._here()
        await super().retire(process_id)

    def _here(self) -> None:
        if self.away:
            raise Unavailable("the store is away")


class Bench:
    """A reconciler over a fake backend with the models `a` (versions 1 and 2) and `b`."""

    def __init__(self) -> None:
        stored = {name: StoredModel(config_text(max_batch_size=2), {1: b"x", 2: b"y"}) for name in ("a", "b")}
        self.repository = MemoryRepository(stored)
        self.script, self.store, self.clock = FakeScript(), LeavingStore(), ManualClock()
        self.backend = FakeBackend(self.script)
        self.engine = Engine(self.repository, {"onnxruntime": self.backend}, placement=Placement(cores=1))
        self.reconciler = Reconciler(
            self.engine, self.store, FleetFollower(self.store), process_id=ME, clock=self.clock
        )

    async def want(self, loaded: Mapping[ModelRef, int]) -> int:
        """Writes the desired set; its revision."""
        before = await self.store.desired()
        return (await self.store.put(replace(before, loaded=loaded), expected_revision=before.revision)).revision

    async def heard(self, reports: Mapping[ModelRef, RefReport], revision: int = 0) -> Heartbeat:
        """The first heartbeat with exactly these reports, at or after a revision."""
        found: tuple[Heartbeat, ...] = ()
        try:
            async with asyncio.timeout(BOUND_S):
                while not found or found[0].seen_revision < revision or dict(found[0].reports) != dict(reports):
                    await asyncio.sleep(0.005)
                    found = await self.store.heartbeats()
        except TimeoutError:
            pytest.fail(f"never heard: {reports}, but {found}")
        assert [beat.process_id for beat in found] == [ME]
        return found[0]

    async def follow(self, loaded: Mapping[ModelRef, int]) -> None:
        """Wants a set and waits until it is reported as loaded."""
        revision = await self.want(loaded)
        await self.heard({ref: RefReport(generation, "loaded") for ref, generation in loaded.items()}, revision)

    async def ask(self, ref: ModelRef) -> float:
        return float((await self.engine.infer(ref, {"x": X})).outputs["y"][0, 0])

    def shut(self) -> threading.Event:
        """A gate that stops every load until it is set."""
        self.script.load_gate = threading.Event()
        return self.script.load_gate
