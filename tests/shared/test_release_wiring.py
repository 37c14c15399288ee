"""A process that routes: it follows the store, and what it counts arrives there."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import redis

from services.shared.errors import InferenceFailed
from services.shared.model_ref import ModelRef
from services.shared.observations import publisher
from services.shared.observations.redis import RedisObservationStore
from services.shared.release.release_counters import ArmKey
from services.shared.release_store.base import NEVER
from services.shared.release_store.last_known import LastKnownRouting
from services.shared.release_wiring import ReleaseFollowing
from services.shared.router import Router
from tests.support.live_releases import CANDIDATE, STABLE, keys_of, live_release, put_release, routing
from tests.support.polling import until
from tests.support.valkey import ValkeyServer

RELEASE = live_release()
KEY = keys_of(RELEASE, "candidate", 1)[0].encode()
ARM = ArmKey("r-1", 0, "candidate")


@pytest.fixture
def server(valkey: ValkeyServer) -> ValkeyServer:
    """Empty."""
    with redis.Redis.from_url(valkey.url) as plain:
        plain.flushall()
    return valkey


def resolve(name: str, version: int | None) -> ModelRef:
    return STABLE


@contextlib.asynccontextmanager
async def following(
    url: str, data_dir: Path, incarnation: str = "api-1"
) -> AsyncIterator[tuple[Router, ReleaseFollowing]]:
    router = Router(resolve, LastKnownRouting(data_dir).read())
    made = ReleaseFollowing(url, data_dir, router, incarnation=incarnation)
    await made.start()
    running = asyncio.create_task(made.run())
    yield router, made
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await made.close()


async def known_errors(url: str) -> int:
    """How many errors of the candidate the store has."""
    store = RedisObservationStore(url)
    arms = (await store.evidence(["r-1"]))["r-1"].totals.arms
    await store.close()
    return arms[ARM].failed if ARM in arms else 0


async def test_the_router_follows_and_says_by_which_revision(server: ValkeyServer, tmp_path: Path) -> None:
    first = await put_release(server.url, RELEASE)
    async with following(server.url, tmp_path) as (router, made):
        assert (router.routings, made.revision) == ({"digits": routing(RELEASE)}, first.revision)
        second = await put_release(server.url, live_release(100.0))
        await until(lambda: made.revision == second.revision)
        assert router.begin("digits", key=b"anybody").route.ref == CANDIDATE
        known = LastKnownRouting(tmp_path)
        await until(lambda: known.read() == {"digits": routing(live_release(100.0))})


async def test_without_the_store_it_routes_as_the_machine_last_knew(tmp_path: Path) -> None:
    LastKnownRouting(tmp_path).write({"digits": routing(RELEASE)})
    async with following(f"unix://{tmp_path}/nobody", tmp_path) as (router, made):
        assert made.revision == NEVER
        assert router.begin("digits", key=KEY).route.ref == CANDIDATE


async def test_the_first_error_is_in_the_store_without_waiting_for_the_period(
    server: ValkeyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher, "PERIOD_S", 3600.0)
    await put_release(server.url, RELEASE)
    async with following(server.url, tmp_path) as (router, _):
        await until(lambda: router.counters.on_error is not None)
        for count in range(1, 4):
            router.begin("digits", key=KEY).failed(InferenceFailed("broken"))
            async with asyncio.timeout(20):
                while await known_errors(server.url) < count:
                    await asyncio.sleep(0.005)


async def test_what_was_counted_last_is_published_at_the_end(
    server: ValkeyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher, "PERIOD_S", 3600.0)
    await put_release(server.url, RELEASE)
    async with following(server.url, tmp_path) as (router, _):
        router.begin("digits", key=KEY).answered(0.002, 3, 0.5)
    store = RedisObservationStore(server.url)
    assert (await store.evidence(["r-1"]))["r-1"].totals.arms[ARM].requests == 1
    await store.close()


async def test_a_process_without_an_incarnation_publishes_nothing(server: ValkeyServer, tmp_path: Path) -> None:
    await put_release(server.url, RELEASE)
    async with following(server.url, tmp_path, incarnation="") as (router, _):
        router.begin("digits", key=KEY).failed(InferenceFailed("broken"))
        assert router.counters.on_error is None
    assert await known_errors(server.url) == 0
