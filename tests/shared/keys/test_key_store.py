"""The contract of KeyStore, over every implementation."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.shared.clock import ManualClock
from services.shared.errors import Conflict, NotFound, Unavailable
from services.shared.keys.base import KeySet, KeyStore, Scope
from services.shared.keys.file import FileKeyStore
from services.shared.keys.issue import IssuedKey, NewKey, issue
from services.shared.keys.memory import MemoryKeyStore
from services.shared.keys.redis import RedisKeyStore
from tests.support.valkey import ValkeyServer, running_valkey


def made(*scopes: Scope, name: str = "a key") -> IssuedKey:
    return issue(NewKey(name, frozenset(scopes or {Scope.PREDICT}), 2.5, 10, 1000), now=1_700_000_000.25)


@pytest.fixture(params=["memory", "file", "redis"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[KeyStore]:
    if request.param == "memory":
        yield MemoryKeyStore()
    elif request.param == "file":
        yield FileKeyStore(tmp_path / "data")
    else:
        redis_store = RedisKeyStore(request.getfixturevalue("valkey").url, timeout_s=10)
        await redis_store._redis.flushall()
        yield redis_store
        await redis_store.close()


async def test_a_new_store_is_empty_and_open(store: KeyStore) -> None:
    assert await store.keys() == KeySet()
    assert not (await store.keys()).closed


async def test_what_is_added_is_found_by_its_secret_with_everything_it_has(store: KeyStore) -> None:
    one, other = made(Scope.PREDICT, Scope.JOBS), made(Scope.ADMIN, name="ümlaut ✓")
    await store.add(one.key)
    await store.add(other.key)
    keys = await store.keys()
    assert keys.find(one.secret) == one.key
    assert keys.find(other.secret) == other.key
    assert keys.find(made().secret) is None
    assert set(keys.by_id.values()) == {one.key, other.key}


async def test_an_id_is_used_once(store: KeyStore) -> None:
    key = made().key
    await store.add(key)
    with pytest.raises(Conflict, match=key.key_id):
        await store.add(key)
    assert len((await store.keys()).by_id) == 1


async def test_a_revoked_key_stays_listed_with_the_time_of_its_first_revocation(store: KeyStore) -> None:
    issued = made()
    await store.add(issued.key)
    assert (await store.revoke(issued.key.key_id, at=7.5)).revoked_at == 7.5
    assert (await store.revoke(issued.key.key_id, at=9.0)).revoked_at == 7.5
    found = (await store.keys()).find(issued.secret)
    assert found is not None
    assert found.revoked_at == 7.5


@pytest.mark.parametrize("key_id", ["0123456789ab", "", "../../etc", "x" * 1000])
async def test_a_key_that_is_not_there_cannot_be_revoked(store: KeyStore, key_id: str) -> None:
    with pytest.raises(NotFound):
        await store.revoke(key_id, at=1.0)
    assert await store.keys() == KeySet()


async def test_many_writers_at_once_lose_nothing(store: KeyStore) -> None:
    issued = [made() for _ in range(20)]
    await asyncio.gather(*(store.add(each.key) for each in issued))
    await asyncio.gather(*(store.revoke(each.key.key_id, at=1.0) for each in issued[:10]))
    keys = await store.keys()
    assert len(keys.by_id) == 20
    assert sum(key.revoked_at is not None for key in keys.by_id.values()) == 10


async def test_an_administrators_key_leaves_the_store_open_and_revoking_the_last_other_one_does_not_open_it(
    store: KeyStore,
) -> None:
    await store.add(made(Scope.ADMIN).key)
    assert not (await store.keys()).closed
    other = made(Scope.TESTER).key
    await store.add(other)
    assert (await store.keys()).closed
    await store.revoke(other.key_id, at=1.0)
    assert (await store.keys()).closed


async def test_another_process_sees_a_key_and_its_end_in_the_file_at_once(tmp_path: Path) -> None:
    one, other = FileKeyStore(tmp_path), FileKeyStore(tmp_path)
    issued = made()
    assert (await one.keys()).find(issued.secret) is None
    await other.add(issued.key)
    assert (await one.keys()).find(issued.secret) == issued.key
    await other.revoke(issued.key.key_id, at=3.0)
    found = (await one.keys()).find(issued.secret)
    assert found is not None
    assert found.revoked_at == 3.0


async def test_the_file_is_private_and_has_no_secret_of_any_key(tmp_path: Path) -> None:
    issued = [made() for _ in range(5)]
    store = FileKeyStore(tmp_path)
    for each in issued:
        await store.add(each.key)
    path = tmp_path / "keys.json"
    assert path.stat().st_mode & 0o777 == 0o600
    text = path.read_text()
    # The secret part may have a `_` in it, so it is told by its place: gs_, twelve digits, _.
    assert not any(each.secret[16:37] in text or each.secret[37:] in text for each in issued)


@pytest.mark.parametrize("damage", ["{", "[]", '{"keys": [{}]}', '{"keys": 1}', ""])
async def test_a_damaged_file_lets_nobody_in(tmp_path: Path, damage: str) -> None:
    (tmp_path / "keys.json").write_text(damage)
    store = FileKeyStore(tmp_path)
    with pytest.raises(Unavailable, match="stored keys cannot be read"):
        await store.keys()
    with pytest.raises(Unavailable):
        await store.add(made().key)
    assert (tmp_path / "keys.json").read_text() == damage


async def test_another_host_sees_a_revocation_once_its_copy_is_due(valkey: ValkeyServer) -> None:
    clock = ManualClock()
    one, other = (RedisKeyStore(valkey.url, clock=clock, timeout_s=10) for _ in range(2))
    issued = made()
    await other.add(issued.key)
    assert (await one.keys()).find(issued.secret) == issued.key
    await other.revoke(issued.key.key_id, at=3.0)
    assert (await one.keys()).find(issued.secret) == issued.key  # not asked again yet
    clock.advance(0.5)
    found = (await one.keys()).find(issued.secret)
    assert found is not None
    assert found.revoked_at == 3.0
    await one.close()
    await other.close()


async def test_while_the_server_is_away_the_last_known_keys_count_and_a_fresh_process_refuses(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = ManualClock()
    with running_valkey(tmp_path) as server:
        store, fresh = (RedisKeyStore(server.url, clock=clock, timeout_s=0.5) for _ in range(2))
        issued = made()
        await store.add(issued.key)
        await store.keys()
        server.hang()
        for _ in range(3):
            clock.advance(1.0)
            async with asyncio.timeout(10):
                assert (await store.keys()).find(issued.secret) == issued.key
        assert [r.levelname for r in caplog.records] == ["WARNING"]
        with pytest.raises(Unavailable, match="cannot be reached"):
            await fresh.keys()
        server.resume()
        server.stop()
        with pytest.raises(Unavailable):
            await store.add(made().key)
        server.start()
        clock.advance(1.0)
        late = made()
        await store.add(late.key)
        assert (await store.keys()).find(late.secret) == late.key
        await store.close()
        await fresh.close()
