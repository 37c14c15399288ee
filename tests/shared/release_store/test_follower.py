"""A process that follows the releases: what it routes by, whatever happens to the store."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from services.shared.errors import Unavailable
from services.shared.model_ref import ModelRef
from services.shared.release.advance import Event
from services.shared.release.routing import ReleaseRouting
from services.shared.release.state import Phase, routing_of
from services.shared.release_store.base import NEVER, Release, Releases, ReleaseStore
from services.shared.release_store.follower import ReleaseFollower
from services.shared.release_store.last_known import LastKnownRouting
from services.shared.release_store.memory import MemoryReleaseStore
from services.shared.release_store.redis import RedisReleaseStore
from services.shared.router import Router
from tests.support.polling import until
from tests.support.release_plans import canary, pending
from tests.support.valkey import running_valkey

PLAN = canary()
FIRST = Release(PLAN, pending(PLAN))


def routed(release: Release) -> Mapping[str, ReleaseRouting]:
    routing = routing_of(release.plan, release.state)
    return {} if routing is None else {release.plan.model: routing}


def at_weight(release: Release, weight: float) -> Release:
    return replace(release, state=replace(release.state, phase=Phase.PROGRESSING, step=1, weights=(weight,)))


class Process:
    """A router with its follower, on its own data directory."""

    def __init__(self, store: ReleaseStore, data_dir: Path) -> None:
        self.router = Router(lambda name, version: ModelRef(name, version or 1))
        self.known = LastKnownRouting(data_dir)
        self.told: list[Mapping[str, ReleaseRouting]] = []
        self.follower = ReleaseFollower(store, self.known, self.tell)

    def tell(self, routings: Mapping[str, ReleaseRouting]) -> None:
        self.told.append(routings)
        self.router.routings = routings

    def routes_by(self, release: Release) -> bool:
        return self.router.routings == routed(release)


@contextlib.asynccontextmanager
async def following(process: Process) -> AsyncIterator[Process]:
    await process.follower.start()
    running = asyncio.create_task(process.follower.run())
    try:
        yield process
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


class AwayStore(MemoryReleaseStore):
    """A store that can go away."""

    away = False
    unreadable: frozenset[str] = frozenset()

    async def list(self) -> Releases:
        releases = await super().list()
        readable = {model: r for model, r in releases.by_model.items() if model not in self.unreadable}
        return Releases(releases.revision, readable, self.unreadable)

    async def put(self, release: Release, *, expected_revision: int, event: Event | None = None) -> Release:
        return await super().put(release, expected_revision=expected_revision, event=event)

    async def changed(self, since: int, *, timeout_s: float) -> int:
        if self.away:
            raise Unavailable("the store is away")
        return await super().changed(since, timeout_s=timeout_s)


async def test_every_change_is_followed_and_kept_on_disk(store: ReleaseStore, tmp_path: Path) -> None:
    async with following(Process(store, tmp_path)) as process:
        assert process.follower.revision == 0
        release = await store.put(FIRST, expected_revision=0)
        for weight in (5.0, 25.0, 0.0):
            release = await store.put(at_weight(release, weight), expected_revision=release.revision)
            await until(lambda r=release: process.routes_by(r))  # type: ignore[misc]
            await until(lambda r=release: process.known.read() == routed(r))  # type: ignore[misc]
            assert process.follower.revision == release.revision
        over = replace(release, state=replace(release.state, phase=Phase.PROMOTED))
        over = await store.put(over, expected_revision=release.revision)
        await until(lambda: process.router.routings == {} and process.known.read() == {})


async def test_a_process_routes_by_what_its_machine_knew_last_before_the_store_answers(tmp_path: Path) -> None:
    store = AwayStore()
    known = routed(at_weight(FIRST, 5))
    LastKnownRouting(tmp_path).write(known)
    store.away = True
    process = Process(store, tmp_path)
    await process.follower.start()
    assert process.told == [known]
    assert process.follower.revision == NEVER
    store.away = False
    assert await process.follower.look(timeout_s=0)
    assert process.told == [known, {}]
    assert process.known.read() == {}


async def test_while_the_store_is_away_the_last_routing_stays_and_it_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = AwayStore()
    release = await store.put(at_weight(FIRST, 5), expected_revision=0)
    process = Process(store, tmp_path)
    await process.follower.start()
    store.away = True
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            assert not await process.follower.look(timeout_s=0)
            assert process.routes_by(release)
        store.away = False
        assert await process.follower.look(timeout_s=0)
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert process.told == [{}, routed(release)]


async def test_an_older_copy_of_the_store_is_followed_when_it_comes_back(tmp_path: Path) -> None:
    store = AwayStore()
    first = await store.put(at_weight(FIRST, 5), expected_revision=0)
    process = Process(store, tmp_path)
    await process.follower.start()
    assert process.routes_by(first)
    copy = AwayStore()
    older = await copy.put(at_weight(FIRST, 1), expected_revision=0)
    assert older.revision == first.revision
    store.away = True
    assert not await process.follower.look(timeout_s=0)
    vars(store).update(vars(copy))
    store.away = False
    assert await process.follower.look(timeout_s=0)
    assert process.routes_by(older)


async def test_a_release_that_cannot_be_read_keeps_its_routing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = AwayStore()
    digits = await store.put(at_weight(FIRST, 5), expected_revision=0)
    pets_plan = replace(PLAN, model="pets")
    process = Process(store, tmp_path)
    await process.follower.start()
    store.unreadable = frozenset({"digits", "birds"})
    pets = await store.put(Release(pets_plan, FIRST.state), expected_revision=0)
    assert await process.follower.look(timeout_s=0)
    assert process.router.routings == {**routed(digits), **routed(pets)}
    assert {record.model for record in caplog.records} == {"digits", "birds"}  # type: ignore[attr-defined]


async def test_a_disk_that_takes_nothing_stops_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = AwayStore()
    (tmp_path / "releases").write_text("a file where the directory belongs")
    process = Process(store, tmp_path)
    await process.follower.start()
    caplog.clear()
    release = await store.put(at_weight(FIRST, 5), expected_revision=0)
    assert await process.follower.look(timeout_s=0)
    assert process.routes_by(release)
    assert "is not kept" in caplog.text


async def test_what_changes_no_routing_is_not_told_again(tmp_path: Path) -> None:
    store = AwayStore()
    release = await store.put(at_weight(FIRST, 5), expected_revision=0)
    process = Process(store, tmp_path)
    await process.follower.start()
    paused = replace(release, state=replace(release.state, phase=Phase.PAUSED))
    paused = await store.put(paused, expected_revision=release.revision)
    assert await process.follower.look(timeout_s=0)
    assert process.told == [{}, routed(release)]
    assert process.follower.revision == paused.revision


async def test_processes_keep_answering_while_the_server_is_killed_and_follow_when_it_is_back(tmp_path: Path) -> None:
    with running_valkey(tmp_path / "valkey") as server:
        stores = [RedisReleaseStore(server.url, timeout_s=0.5) for _ in range(3)]
        async with contextlib.AsyncExitStack() as stack:
            for store in stores:
                stack.push_async_callback(store.close)
            one = await stack.enter_async_context(following(Process(stores[0], tmp_path / "one")))
            two = await stack.enter_async_context(following(Process(stores[1], tmp_path / "two")))
            release = await stores[2].put(at_weight(FIRST, 5), expected_revision=0)
            for weight in (25.0, 50.0):
                await until(lambda r=release: one.routes_by(r) and two.routes_by(r))  # type: ignore[misc]
                await until(lambda r=release: one.known.read() == routed(r))  # type: ignore[misc]
                server.kill()
                assert one.router.begin("digits", key=b"k").route.release == "r-1"
                late = Process(stores[2], tmp_path / "one")
                await late.follower.start()
                assert late.routes_by(release)
                server.start()
                release = await stores[2].put(at_weight(release, weight), expected_revision=release.revision)
            await until(lambda: one.routes_by(release) and two.routes_by(release))
