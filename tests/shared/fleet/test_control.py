"""Load, unload and promote against scripted processes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from services.shared.clock import SystemClock
from services.shared.errors import Conflict, InferenceFailed, NotFound, Unavailable
from services.shared.fleet.base import Desired, Heartbeat, RefReport
from services.shared.fleet.control import FleetControl
from services.shared.fleet.follower import FleetFollower, seed, seeded
from services.shared.fleet.memory import MemoryFleetStore
from services.shared.model_ref import ModelRef
from services.shared.repository.disk import DiskRepository

CONFIG = 'platform: "onnxruntime_onnx" max_batch_size: 4'
A1, A2 = ModelRef("a", 1), ModelRef("a", 2)


@pytest.fixture
def repository(tmp_path: Path) -> DiskRepository:
    for version in ("1", "2"):
        (tmp_path / "a" / version).mkdir(parents=True)
    (tmp_path / "a" / "config.pbtxt").write_text(CONFIG)
    (tmp_path / "broken" / "1").mkdir(parents=True)
    (tmp_path / "broken" / "config.pbtxt").write_text("name: 3")
    return DiskRepository(tmp_path)


class Process:
    """A serving process that follows the desired set; `fails` names the versions that it cannot load."""

    def __init__(self, store: MemoryFleetStore, name: str) -> None:
        self.store, self.name = store, name
        self.fails: set[ModelRef] = set()

    async def run(self) -> None:
        while True:
            desired = await self.store.desired()
            reports = {
                ref: RefReport(g, "failed", "it is broken") if ref in self.fails else RefReport(g, "loaded")
                for ref, g in desired.loaded.items()
            }
            await self.store.beat(Heartbeat(self.name, SystemClock().now(), desired.revision, reports))
            await asyncio.sleep(0.01)


@pytest.fixture
def store() -> MemoryFleetStore:
    return MemoryFleetStore()


@pytest.fixture
async def processes(store: MemoryFleetStore) -> AsyncIterator[list[Process]]:
    running = [Process(store, name) for name in ("p", "q")]
    tasks = [asyncio.create_task(process.run()) for process in running]
    yield running
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
def control(store: MemoryFleetStore, repository: DiskRepository) -> FleetControl:
    return FleetControl(store, repository, timeout_s=5)


async def test_a_load_is_done_when_every_process_has_it(
    control: FleetControl, store: MemoryFleetStore, processes: list[Process]
) -> None:
    await control.load("a")
    desired = await store.desired()
    assert dict(desired.loaded) == {A2: 1}  # latest 1, as Triton's default policy
    assert dict(desired.defaults) == {"a": A2}


async def test_loading_never_moves_the_default(
    control: FleetControl, store: MemoryFleetStore, processes: list[Process]
) -> None:
    await control.load("a", 1)
    await control.load("a", 2)
    assert (await store.desired()).defaults == {"a": A1}
    await control.promote("a", A2)
    assert (await store.desired()).defaults == {"a": A2}


async def test_a_load_that_fails_anywhere_is_taken_back_and_says_why(
    control: FleetControl, store: MemoryFleetStore, processes: list[Process]
) -> None:
    await control.load("a", 1)
    processes[1].fails = {A2}
    with pytest.raises(InferenceFailed, match="a was not loaded: a/2: it is broken"):
        await control.load("a", 2)
    desired = await store.desired()
    assert dict(desired.loaded) == {A1: 1}
    assert dict(desired.defaults) == {"a": A1}


async def test_a_reload_that_fails_leaves_the_generation_that_serves(
    control: FleetControl, store: MemoryFleetStore, processes: list[Process]
) -> None:
    await control.load("a", 1)
    processes[0].fails = {A1}
    with pytest.raises(InferenceFailed):
        await control.load("a", 1)
    assert dict((await store.desired()).loaded) == {A1: 1}


async def test_a_cancelled_load_is_taken_back(
    control: FleetControl, store: MemoryFleetStore, repository: DiskRepository
) -> None:
    waiting = asyncio.create_task(control.load("a", 1))
    async with asyncio.timeout(5):
        while not (await store.desired()).loaded:
            await asyncio.sleep(0.01)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not (await store.desired()).loaded


async def test_an_unload_waits_for_every_process(
    control: FleetControl, store: MemoryFleetStore, processes: list[Process]
) -> None:
    await control.load("a", 1)
    await control.unload("a", 1)
    assert not any(beat.reports for beat in await store.heartbeats())


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda c: c.load("nobody"), NotFound),
        (lambda c: c.load("a", 9), NotFound),
        (lambda c: c.unload("a"), NotFound),
        (lambda c: c.promote("a", A2), Conflict),
    ],
)
async def test_what_is_not_there_is_refused(
    control: FleetControl, processes: list[Process], call: Callable[[FleetControl], asyncio.Future[None]], error: type
) -> None:
    with pytest.raises(error):
        await call(control)


async def test_without_a_live_process_a_load_is_unavailable_and_taken_back(
    store: MemoryFleetStore, repository: DiskRepository
) -> None:
    with pytest.raises(Unavailable, match="no serving process"):
        await FleetControl(store, repository).load("a", 1)
    assert not (await store.desired()).loaded


async def test_seeding_gives_new_models_a_default_and_leaves_known_ones_alone(
    store: MemoryFleetStore, repository: DiskRepository
) -> None:
    await asyncio.gather(*(seed(store, repository) for _ in range(4)))
    assert await store.desired() == Desired(1, {A2: 1}, {"a": A2})
    known = Desired(3, {}, {"a": A1})
    assert seeded(known, repository) == known


async def test_a_name_means_its_default_unless_a_version_is_named(
    store: MemoryFleetStore, repository: DiskRepository
) -> None:
    follower = FleetFollower(store)
    await seed(store, repository)
    await follower.refresh()
    assert follower.resolve("a") == A2
    assert follower.resolve("a", 1) == A1
    with pytest.raises(NotFound, match="Request for unknown model: 'b' is not found"):
        follower.resolve("b")


async def test_the_last_known_set_stays_while_the_store_is_away(
    store: MemoryFleetStore, repository: DiskRepository
) -> None:
    class Failing(MemoryFleetStore):
        away = False

        async def desired(self) -> Desired:
            if self.away:
                raise Unavailable("gone")
            return await super().desired()

    failing = Failing()
    await seed(failing, repository)
    follower = FleetFollower(failing)
    await follower.refresh()
    failing.away = True
    await follower.refresh()
    assert follower.resolve("a") == A2


async def test_a_process_that_only_routes_is_not_waited_for(
    control: FleetControl, store: MemoryFleetStore, processes: list[Process]
) -> None:
    await store.beat(Heartbeat("api", SystemClock().now() + 60, 0, {}, routing_revision=3, serves=False))
    await control.load("a", 1)
    await control.load("a", 2)
    await control.promote("a", A1)
    await control.unload("a", 2)
    assert set((await store.desired()).loaded) == {A1}
