"""What only the shared store can do: outlive its server, lose what it had, and be read by another version."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import redis

from services.shared.errors import Unavailable
from services.shared.observations.base import COUNTED_S, KEPT_S
from services.shared.observations.redis import RedisObservationStore
from tests.support.observations import CANDIDATE, OTHER, STABLE, claim, counted, look, point, totals
from tests.support.valkey import ValkeyServer, running_valkey

BOTH = totals(stable=counted(2), candidate=counted(1, 1))


@contextlib.asynccontextmanager
async def opened(server: ValkeyServer) -> AsyncIterator[RedisObservationStore]:
    store = RedisObservationStore(server.url, timeout_s=0.5)
    try:
        yield store
    finally:
        await store.close()


@pytest.fixture
def plain(valkey: ValkeyServer) -> Any:
    with redis.Redis.from_url(valkey.url) as client:
        client.flushall()
        yield client


async def test_a_server_that_is_away_is_unavailable_and_knows_everything_when_it_is_back(tmp_path: Path) -> None:
    with running_valkey(tmp_path / "valkey") as server:
        async with opened(server) as store:
            await store.publish("api-1", BOTH)
            server.kill()
            more = totals(stable=counted(9), candidate=counted(1, 1))
            with pytest.raises(Unavailable, match="the observation store cannot be used"):
                await store.publish("api-1", more)
            with pytest.raises(Unavailable):
                await store.evidence(["r-1"])
            server.start()
            await store.publish("api-1", more)
            assert (await store.evidence(["r-1"]))["r-1"].totals == more


async def test_a_server_that_hangs_is_unavailable(tmp_path: Path) -> None:
    with running_valkey(tmp_path / "valkey") as server:
        async with opened(server) as store:
            server.hang()
            async with asyncio.timeout(20):
                with pytest.raises(Unavailable):
                    await store.publish("api-1", BOTH)


async def test_what_the_server_lost_is_written_again_whole(valkey: ValkeyServer, plain: Any) -> None:
    async with opened(valkey) as one, opened(valkey) as other, opened(valkey) as reader:
        await one.publish("api-1", BOTH)
        await other.publish("api-2", BOTH)
        assert (await reader.evidence(["r-1"]))["r-1"].totals == BOTH.merge(BOTH)
        plain.flushall()
        assert not (await reader.evidence(["r-1"]))["r-1"].totals.arms
        await one.publish("api-1", totals(stable=counted(3), candidate=counted(1, 1)))
        await other.publish("api-2", totals(stable=counted(4), candidate=counted(1, 1)))
        arms = (await reader.evidence(["r-1"]))["r-1"].totals.arms
        assert arms == {STABLE: counted(3).merge(counted(4)), CANDIDATE: counted(1, 1).merge(counted(1, 1))}


async def test_a_loss_is_seen_although_as_much_was_written_since(valkey: ValkeyServer, plain: Any) -> None:
    async with opened(valkey) as writer, opened(valkey) as reader:
        await writer.publish("api-1", BOTH)
        await reader.evidence(["r-1"])
        plain.flushall()
        await writer.publish("api-3", BOTH)
        assert (await reader.evidence(["r-1"]))["r-1"].totals == BOTH


async def test_only_what_differs_is_written_and_only_what_is_new_is_read(valkey: ValkeyServer, plain: Any) -> None:
    async with opened(valkey) as writer, opened(valkey) as reader:
        await writer.publish("api-1", totals(stable=counted(2), candidate=counted(1), other=counted(1)))
        first = await reader.evidence(["r-1", "r-2"])
        order = "grayscale:observations:order:"
        before = dict(plain.zrange(order + "r-1", 0, -1, withscores=True))
        await writer.publish("api-1", totals(stable=counted(2), candidate=counted(2), other=counted(1)))
        after = dict(plain.zrange(order + "r-1", 0, -1, withscores=True))
        assert [field for field in after if after[field] != before[field]] == [
            b"api-1/1/candidate",
            b"api-1/1/candidate#keys",
        ]
        plain.hset("grayscale:observations:totals:r-1", "api-1/1/stable", "{}")  # it is not looked at again
        second = await reader.evidence(["r-1", "r-2"])
        assert second["r-1"].totals.arms == {STABLE: counted(2), CANDIDATE: counted(2)}
        assert second["r-2"] is first["r-2"]


async def test_totals_of_another_version_count_as_nothing_and_hide_no_others(
    valkey: ValkeyServer, plain: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(valkey) as store:
        await store.publish("api-1", BOTH)
        for field in ("api-9/1/stable", "what is this"):
            plain.hset("grayscale:observations:totals:r-1", field, '{"format": 99}')
            plain.zadd("grayscale:observations:order:r-1", {field: 7})
        for _ in range(2):
            assert (await store.evidence(["r-1"]))["r-1"].totals == BOTH
    assert caplog.text.count("totals of a release cannot be read") == 2


async def test_what_cannot_be_read_is_left_out(valkey: ValkeyServer, plain: Any) -> None:
    async with opened(valkey) as store:
        await store.keep_look("r-2", look())
        plain.set("grayscale:observations:look:r-1", '{"format": 99}')
        assert await store.looks(["r-1", "r-2"]) == {"r-2": look()}
        await store.add_point("r-1", point(1.0))
        plain.rpush("grayscale:observations:points:r-1", '{"format": 99}')
        assert await store.points("r-1") == (point(1.0),)


async def test_everything_expires_with_time(valkey: ValkeyServer, plain: Any) -> None:
    async with opened(valkey) as store:
        await store.publish("api-1", BOTH)
        await store.feedback(claim(), "token a", right=True, reward=None)
        await store.feedback(claim(release=""), "token b", right=True, reward=None)
        await store.keep_look("r-1", look())
        await store.add_point("r-1", point(1.0))
        kept = {key.decode(): plain.ttl(key) for key in plain.scan_iter("grayscale:observations:*")}
    assert kept.pop("grayscale:observations:revision") == -1
    marks = {key for key in kept if ":counted:" in key}
    assert len(marks) == 2
    assert len(kept) == 8
    for key, seconds in kept.items():
        most = COUNTED_S if key in marks else KEPT_S
        assert most - 60 <= seconds <= most, key


async def test_many_releases_are_read_in_one_round_trip(valkey: ValkeyServer, plain: Any) -> None:
    async with opened(valkey) as writer, opened(valkey) as reader:
        await writer.publish("api-1", totals(stable=counted(1), other=counted(1)))
        await reader.evidence(["r-1"])  # connected, and the script is there
        before = plain.info("commandstats")["cmdstat_evalsha"]["calls"]
        found = await reader.evidence([f"r-{number}" for number in range(100)])
        assert plain.info("commandstats")["cmdstat_evalsha"]["calls"] == before + 1
        assert found["r-2"].totals.arms == {OTHER: counted(1)}
