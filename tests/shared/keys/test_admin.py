"""The administrator's key across starts."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from services.shared.keys.admin import ensure_admin_key
from services.shared.keys.base import KeyStore, Scope
from services.shared.keys.file import FileKeyStore
from services.shared.keys.issue import NewKey, issue
from services.shared.settings import SettingsError


@pytest.fixture
def store(tmp_path: Path) -> KeyStore:
    return FileKeyStore(tmp_path)


async def test_it_is_made_once_kept_in_a_private_file_and_registered_hashed(tmp_path: Path, store: KeyStore) -> None:
    first = await ensure_admin_key(tmp_path, store, now=1.0)
    again = await ensure_admin_key(tmp_path, store, now=2.0)
    assert first.created
    assert not again.created
    assert again.secret == first.secret == (tmp_path / "admin.key").read_text().strip()
    assert (tmp_path / "admin.key").stat().st_mode & 0o777 == 0o600
    key = (await store.keys()).find(first.secret)
    assert key is not None
    assert key.scopes == {Scope.ADMIN}
    assert first.secret[16:] not in (tmp_path / "keys.json").read_text()
    assert first.secret not in repr(first)


async def test_a_store_that_lost_it_learns_it_again(tmp_path: Path, store: KeyStore) -> None:
    first = await ensure_admin_key(tmp_path, store, now=1.0)
    (tmp_path / "keys.json").unlink()
    again = await ensure_admin_key(tmp_path, store, now=2.0)
    assert (again.secret, again.created) == (first.secret, False)
    assert (await store.keys()).find(first.secret) is not None


async def test_a_revoked_one_is_replaced_at_the_next_start(tmp_path: Path, store: KeyStore) -> None:
    first = await ensure_admin_key(tmp_path, store, now=1.0)
    await store.revoke(first.secret[3:15], at=2.0)
    second = await ensure_admin_key(tmp_path, store, now=3.0)
    assert second.created
    assert second.secret != first.secret
    assert (tmp_path / "admin.key").read_text().strip() == second.secret
    found = (await store.keys()).find(second.secret)
    assert found is not None
    assert found.revoked_at is None


async def test_an_open_file_is_closed_to_others(tmp_path: Path, store: KeyStore) -> None:
    first = await ensure_admin_key(tmp_path, store, now=1.0)
    (tmp_path / "admin.key").chmod(0o644)
    assert (await ensure_admin_key(tmp_path, store, now=2.0)).secret == first.secret
    assert (tmp_path / "admin.key").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", ["", "hunter2", "gs_short"])
async def test_a_file_that_holds_something_else_is_named(tmp_path: Path, store: KeyStore, content: str) -> None:
    (tmp_path / "admin.key").write_text(content)
    with pytest.raises(SettingsError, match=r"admin\.key does not hold a key") as caught:
        await ensure_admin_key(tmp_path, store, now=1.0)
    assert "hunter2" not in str(caught.value)


async def test_a_file_with_a_lesser_key_is_named(tmp_path: Path, store: KeyStore) -> None:
    issued = issue(NewKey("a", frozenset({Scope.PREDICT})), now=1.0)
    await store.add(issued.key)
    (tmp_path / "admin.key").write_text(issued.secret)
    with pytest.raises(SettingsError, match="not an administrator's"):
        await ensure_admin_key(tmp_path, store, now=1.0)


async def test_processes_that_start_together_agree_on_one(tmp_path: Path) -> None:
    made = await asyncio.gather(*(ensure_admin_key(tmp_path, FileKeyStore(tmp_path), now=1.0) for _ in range(8)))
    assert len({each.secret for each in made}) == 1
    assert sum(each.created for each in made) == 1
    assert len((await FileKeyStore(tmp_path).keys()).by_id) == 1
