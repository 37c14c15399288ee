"""Real controllers on a real server: one leads, the others stand by."""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import redis

from services.controller.redis import KEY
from services.shared.fleet.base import Desired, Heartbeat, RefReport
from services.shared.fleet.file import FileFleetStore
from services.shared.release.state import Phase
from services.shared.release_store.base import Release
from services.shared.release_store.redis import RedisReleaseStore
from tests.support.controller_process import running_controller
from tests.support.polling import BOUND_S, until
from tests.support.release_plans import CANDIDATE, STABLE, blue_green, pending
from tests.support.valkey import ValkeyServer, running_valkey


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[ValkeyServer]:
    with running_valkey(tmp_path / "data") as server:
        yield server


@pytest.fixture
async def releases(valkey: ValkeyServer) -> AsyncIterator[RedisReleaseStore]:
    store = RedisReleaseStore(valkey.url)
    yield store
    await store.close()


async def begun(store: RedisReleaseStore) -> None:
    plan = blue_green(hold="0s")
    now = time.time()
    state = replace(pending(plan), created_at=now, since=now)
    await store.put(Release(plan, state), expected_revision=0)


async def follow(valkey: ValkeyServer, store: RedisReleaseStore) -> None:
    """What an API process does that has loaded all, until cancelled."""
    fleet = FileFleetStore(valkey.data_dir / "fleet")
    await fleet.put(Desired(0, {STABLE: 1}, {"digits": STABLE}), expected_revision=0)
    while True:
        desired = await fleet.desired()
        reports = {ref: RefReport(generation, "loaded") for ref, generation in desired.loaded.items()}
        revision = (await store.list()).revision
        await fleet.beat(Heartbeat("api-1", time.time(), desired.revision, reports, revision))
        await asyncio.sleep(0.05)


async def until_phase(store: RedisReleaseStore, phase: Phase) -> None:
    async with asyncio.timeout(BOUND_S):
        while (await store.get("digits")).state.phase is not phase:
            await asyncio.sleep(0.02)


async def test_it_carries_a_release_out_and_ends_in_order(valkey: ValkeyServer, releases: RedisReleaseStore) -> None:
    following = asyncio.create_task(follow(valkey, releases))
    with running_controller(valkey) as controller:
        await controller.until_leading()
        assert controller.get("/healthz/live").status_code == 200
        assert controller.get("/healthz/ready").json() == {"status": "ok"}
        await begun(releases)
        await until_phase(releases, Phase.PROMOTED)
        assert (await FileFleetStore(valkey.data_dir / "fleet").desired()).defaults == {"digits": CANDIDATE}
        assert "grayscale_controller_promotions_total 1" in controller.get("/metrics").text
        assert controller.stop() == 0
    with redis.Redis.from_url(valkey.url) as plain:
        assert plain.get(KEY) is None  # another one leads at once
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)


async def test_another_one_takes_over_from_one_that_was_killed(
    valkey: ValkeyServer, releases: RedisReleaseStore
) -> None:
    following = asyncio.create_task(follow(valkey, releases))
    with running_controller(valkey, "one") as one:
        await one.until_leading()
        with running_controller(valkey, "two") as two:
            await until(lambda: "the controller starts" in two.log.read_text())
            assert two.get("/healthz/ready").status_code == 200  # it stands by
            assert not two.leads()
            one.process.send_signal(signal.SIGSTOP)  # it hangs: its lease runs out
            await two.until_leading()
            await begun(releases)
            await until_phase(releases, Phase.PROMOTED)
            one.process.send_signal(signal.SIGCONT)
            await until(lambda: not one.leads())
            two.process.kill()
            await one.until_leading()
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)


async def test_it_waits_for_a_server_that_is_away(valkey: ValkeyServer, releases: RedisReleaseStore) -> None:
    with running_controller(valkey) as controller:
        await controller.until_leading()
        valkey.stop()
        await until(lambda: controller.get("/healthz/ready").status_code == 503)
        assert controller.get("/healthz/ready").json()["reasons"]
        valkey.start()
        await until(lambda: controller.get("/healthz/ready").status_code == 200)
        await controller.until_leading()
        assert controller.stop() == 0


def test_what_it_cannot_use_is_named(tmp_path: Path) -> None:
    server = ValkeyServer(tmp_path)
    with running_controller(server, environment={"GRAYSCALE_REDIS_URL": ""}) as controller:
        assert controller.process.wait(BOUND_S) == 2
        assert "GRAYSCALE_REDIS_URL" in controller.log.read_text()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with running_controller(server, environment={"GRAYSCALE_CONTROLLER_PORT": port}) as controller:
            assert controller.process.wait(BOUND_S) == 2
            assert "GRAYSCALE_CONTROLLER_PORT" in controller.log.read_text()
