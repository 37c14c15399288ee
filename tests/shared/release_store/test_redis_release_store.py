"""What only the shared store can do: outlive its server, and be read by another version."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest
import redis

from services.shared.errors import Unavailable
from services.shared.release.advance import begun
from services.shared.release_store import redis as redis_store
from services.shared.release_store.base import NEVER, Release, ReleaseStore
from services.shared.release_store.redis import RedisReleaseStore
from services.shared.release_store.release_document import release_from_json, release_to_json
from tests.support.release_plans import canary, pending
from tests.support.valkey import ValkeyServer, running_valkey

PLAN = canary()
FIRST = Release(PLAN, pending(PLAN))


@contextlib.asynccontextmanager
async def opened(server: ValkeyServer) -> AsyncIterator[ReleaseStore]:
    store = RedisReleaseStore(server.url, timeout_s=0.5)
    try:
        yield store
    finally:
        await store.close()


async def test_what_was_written_survives_the_servers_sudden_death(tmp_path: Path) -> None:
    with running_valkey(tmp_path / "valkey") as server:
        async with opened(server) as store:
            written = await store.put(FIRST, expected_revision=0, event=begun(FIRST.state, "ann"))
            waiting = asyncio.create_task(store.changed(written.revision, timeout_s=60))
            done, _ = await asyncio.wait([waiting], timeout=0.1)
            assert not done
            server.kill()
            with pytest.raises(Unavailable, match="the release store cannot be used"):
                await waiting
            with pytest.raises(Unavailable):
                await store.put(FIRST, expected_revision=0)
            server.start()
            assert await store.get("digits") == written
            assert await store.events("digits") == (begun(FIRST.state, "ann"),)
            waiting = asyncio.create_task(store.changed(written.revision, timeout_s=60))
            again = await store.put(written, expected_revision=written.revision)
            async with asyncio.timeout(20):
                assert await waiting == again.revision


async def test_a_server_that_hangs_is_unavailable_and_then_there_again(tmp_path: Path) -> None:
    with running_valkey(tmp_path / "valkey") as server:
        async with opened(server) as store:
            written = await store.put(FIRST, expected_revision=0)
            server.hang()
            async with asyncio.timeout(20):
                with pytest.raises(Unavailable):
                    await store.changed(written.revision, timeout_s=60)
            server.resume()
            assert await store.changed(NEVER, timeout_s=0) == written.revision


async def test_a_server_that_has_lost_everything_gives_no_revision_again(valkey: ValkeyServer) -> None:
    async with opened(valkey) as store:
        with redis.Redis.from_url(valkey.url) as plain:
            plain.flushall()
            before = await store.put(FIRST, expected_revision=0)
            plain.flushall()
            after = await store.put(FIRST, expected_revision=0)
            assert after.revision > before.revision
            plain.set("grayscale:releases:revision", after.revision + 10**9)  # the server's clock went back
            later = await store.put(after, expected_revision=after.revision)
            assert later.revision == after.revision + 10**9 + 1


async def test_a_release_of_another_version_is_named_and_hides_no_other(valkey: ValkeyServer) -> None:
    async with opened(valkey) as store:
        with redis.Redis.from_url(valkey.url) as plain:
            plain.flushall()
            written = await store.put(FIRST, expected_revision=0)
            plain.hset("grayscale:releases", "pets", b'{"format": 99}')
            plain.hset("grayscale:releases:revisions", "pets", "7")
        listed = await store.list()
        assert listed.by_model == {"digits": written}
        assert listed.unreadable == {"pets"}
        with pytest.raises(Unavailable, match=r"the release of pets: .*format 99"):
            await store.get("pets")


async def test_several_stores_see_each_others_writes(valkey: ValkeyServer) -> None:
    with redis.Redis.from_url(valkey.url) as plain:
        plain.flushall()
    async with opened(valkey) as one, opened(valkey) as other:
        first = await one.put(FIRST, expected_revision=0)
        assert (await other.list()).by_model == {"digits": first}
        second = await one.put(first, expected_revision=first.revision)
        assert (await other.list()).by_model == {"digits": second}
        assert await other.get("digits") == second


async def test_a_message_wakes_who_waits(valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_store, "_POLL_S", 60.0)
    with redis.Redis.from_url(valkey.url) as plain:
        plain.flushall()
    async with opened(valkey) as one, opened(valkey) as other:
        first = await one.put(FIRST, expected_revision=0)
        assert await other.changed(NEVER, timeout_s=60) == first.revision
        waiting = asyncio.create_task(other.changed(first.revision, timeout_s=60))
        done, _ = await asyncio.wait([waiting], timeout=0.1)
        assert not done
        second = await one.put(first, expected_revision=first.revision)
        async with asyncio.timeout(20):
            assert await waiting == second.revision


async def test_a_change_whose_message_was_lost_is_seen_all_the_same(valkey: ValkeyServer) -> None:
    async with opened(valkey) as store:
        with redis.Redis.from_url(valkey.url) as plain:
            plain.flushall()
            waiting = asyncio.create_task(store.changed(0, timeout_s=60))
            done, _ = await asyncio.wait([waiting], timeout=0.1)
            assert not done
            plain.set("grayscale:releases:revision", 7)
            async with asyncio.timeout(20):
                assert await waiting == 7


@pytest.mark.parametrize("field", ["format", "plan", "state", "archived"])
def test_a_document_without_a_field_cannot_be_read(field: str) -> None:
    document = orjson.loads(release_to_json(FIRST))
    assert release_from_json(orjson.dumps(document), 0) == FIRST
    del document[field]
    with pytest.raises(ValueError, match="a release cannot be read"):
        release_from_json(orjson.dumps(document), 0)


def test_a_state_that_does_not_belong_to_its_plan_cannot_be_read() -> None:
    document = orjson.loads(release_to_json(FIRST))
    document["state"]["weights"] = [1.0, 2.0]
    with pytest.raises(ValueError, match="2 weights are not one for each of 1 arms"):
        release_from_json(orjson.dumps(document), 0)
