"""A process without an engine that tells by what it routes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from services.shared.clock import ManualClock
from services.shared.errors import Unavailable
from services.shared.fleet.base import HEARTBEAT_S, Desired, Heartbeat, RefReport
from services.shared.fleet.follower import FleetFollower
from services.shared.fleet.memory import MemoryFleetStore
from services.shared.fleet.routing_beats import RoutingBeats
from services.shared.model_ref import ModelRef
from tests.support.polling import until

A = ModelRef("a", 1)


class CountingStore(MemoryFleetStore):
    def __init__(self) -> None:
        super().__init__()
        self.beats: list[Heartbeat] = []
        self.away = False

    async def beat(self, heartbeat: Heartbeat) -> None:
        if self.away:
            raise Unavailable("no room")
        self.beats.append(heartbeat)
        await super().beat(heartbeat)


@dataclass
class Process:
    """What a process hears of its server and follows."""

    clock: ManualClock = field(default_factory=ManualClock)
    store: CountingStore = field(default_factory=CountingStore)
    ready: frozenset[ModelRef] = frozenset()
    revision: int | None = -1

    def __post_init__(self) -> None:
        self.follower = FleetFollower(self.store)
        self.beats = RoutingBeats(
            self.store,
            self.follower,
            process_id="api-1",
            ready=lambda: self.ready,
            routing_revision=lambda: self.revision,
            clock=self.clock,
        )

    async def heard(self, **fields: object) -> None:
        await until(
            lambda: bool(self.store.beats) and all(getattr(self.store.beats[-1], n) == v for n, v in fields.items())
        )


@pytest.fixture
async def process() -> AsyncIterator[Process]:
    process = Process()
    running = asyncio.create_task(process.beats.run())
    yield process
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert await process.store.heartbeats() == ()  # who ends in order is forgotten


async def test_whatever_is_new_is_told_at_once(process: Process) -> None:
    await process.heard(routing_revision=-1, reports={}, serves=False, seen_revision=0)
    process.revision = 7
    await process.heard(routing_revision=7)
    process.ready = frozenset({A})
    await process.heard(reports={A: RefReport(0, "loaded")})
    await process.store.put(Desired(0, {A: 3}), expected_revision=0)
    await process.follower.refresh()
    await process.heard(reports={A: RefReport(3, "loaded")}, seen_revision=1)
    assert len(process.store.beats) == 4


async def test_it_is_heard_when_nothing_is_new(process: Process) -> None:
    await process.heard(routing_revision=-1)
    for told in (2, 3):
        process.clock.advance(HEARTBEAT_S)
        await until(lambda told=told: len(process.store.beats) == told)  # type: ignore[misc]
        assert process.store.beats[-1].at == process.clock.now()


async def test_a_store_that_is_away_is_tried_again(process: Process, caplog: pytest.LogCaptureFixture) -> None:
    await process.heard(routing_revision=-1)
    process.store.away = True
    process.revision = 8
    process.clock.advance(HEARTBEAT_S)
    await until(lambda: "no heartbeat could be written" in caplog.text)
    process.store.away = False
    process.clock.advance(HEARTBEAT_S)
    await process.heard(routing_revision=8)
