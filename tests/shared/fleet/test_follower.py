"""Following the desired set, and seeding it from a repository; what calls see of it stands in test_control.py."""

from __future__ import annotations

import asyncio
import logging

import pytest

from services.shared.errors import Conflict, InferenceFailed, Unavailable
from services.shared.fleet.base import Desired
from services.shared.fleet.follower import FleetFollower, seed, seeded
from services.shared.fleet.memory import MemoryFleetStore
from services.shared.model_config import ModelConfig
from services.shared.model_ref import ModelRef
from services.shared.repository.memory import MemoryRepository, StoredModel
from tests.support.configs import config_text
from tests.support.polling import until

A1, A2, B1 = ModelRef("a", 1), ModelRef("a", 2), ModelRef("b", 1)


class LeavingStore(MemoryFleetStore):
    """Away while `away` is set; `conflicts` writers come first."""

    away = False
    conflicts = 0
    reads = 0

    async def desired(self) -> Desired:
        self.reads += 1
        if self.away:
            raise Unavailable("no route")
        return await super().desired()

    async def put(self, desired: Desired, *, expected_revision: int) -> Desired:
        if self.conflicts:
            self.conflicts -= 1
            await super().put(Desired(loaded={B1: 7}, defaults={"b": B1}), expected_revision=expected_revision)
            raise Conflict("another was first")
        return await super().put(desired, expected_revision=expected_revision)


@pytest.fixture
def store() -> LeavingStore:
    return LeavingStore()


def repository(**models: StoredModel) -> MemoryRepository:
    return MemoryRepository(models)


def model(*versions: int, policy: str = "") -> StoredModel:
    return StoredModel(config_text(more=policy), dict.fromkeys(versions, b"x"))


async def test_a_follower_sees_what_is_written_and_ends_when_cancelled(store: LeavingStore) -> None:
    follower = FleetFollower(store)
    task = asyncio.create_task(follower.run())
    assert follower.current == Desired()
    written = await store.put(Desired(loaded={A1: 1}, defaults={"a": A1}), expected_revision=0)
    await until(lambda: follower.current == written)
    assert follower.resolve("a") == A1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_store_that_is_away_is_told_once_until_it_is_back(
    store: LeavingStore, caplog: pytest.LogCaptureFixture
) -> None:
    follower = FleetFollower(store)
    await store.put(Desired(defaults={"a": A1}), expected_revision=0)
    await follower.refresh()
    for _ in range(2):
        store.away = True
        for _ in range(5):
            assert (await follower.refresh()).defaults == {"a": A1}
        store.away = False
        await follower.refresh()
    told = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert len(told) == 2
    assert vars(told[0])["reason"] == "no route"


@pytest.mark.parametrize(
    ("models", "before", "loaded", "defaults"),
    [
        ({}, Desired(), {}, {}),
        ({"a": model(1, 2)}, Desired(), {A2: 1}, {"a": A2}),
        ({"a": model(2, 1, policy="version_policy { all {} }")}, Desired(), {A1: 1, A2: 1}, {"a": A2}),
        ({"a": model(1, 2, policy="version_policy { specific { versions: 1 } }")}, Desired(), {A1: 1}, {"a": A1}),
        ({"a": model()}, Desired(), {}, {}),  # nothing to serve yet, so nothing that the name could mean
        ({"a": model(1), "b": model(1)}, Desired(4, {}, {"a": A2}), {B1: 1}, {"a": A2, "b": B1}),
        ({"a": model(2)}, Desired(4, {A2: 7}, {}), {A2: 7}, {"a": A2}),  # loaded, and never seeded
        ({"a": model(2)}, Desired(4, {}, {"gone": B1}), {A2: 1}, {"gone": B1, "a": A2}),
        ({"a": StoredModel("max_batch_size: x", {1: b""}), "b": model(1)}, Desired(), {B1: 1}, {"b": B1}),
        ({"a": StoredModel(None, {1: b""}), "b": model(1)}, Desired(), {B1: 1}, {"b": B1}),
    ],
)
def test_seeding_adds_what_is_unknown_and_changes_nothing_else(
    models: dict[str, StoredModel], before: Desired, loaded: dict[ModelRef, int], defaults: dict[str, ModelRef]
) -> None:
    assert seeded(before, MemoryRepository(models)) == Desired(before.revision, loaded, defaults)


class Broken(MemoryRepository):
    """Breaks its promise of what it raises for one model."""

    def config(self, name: str) -> ModelConfig:
        if name == "a":
            raise RuntimeError("a surprise")
        return super().config(name)


def test_a_model_that_cannot_be_read_is_told_and_keeps_none_from_serving(caplog: pytest.LogCaptureFixture) -> None:
    broken = Broken({"a": model(1), "b": model(1)})
    with pytest.raises(RuntimeError):
        broken.config("a")
    assert seeded(Desired(), broken).defaults == {"b": B1}
    [record] = caplog.records
    assert (vars(record)["model"], vars(record)["reason"]) == ("a", "a surprise")


async def test_seeding_keeps_what_another_writer_wrote_first(store: LeavingStore) -> None:
    store.conflicts = 2
    await seed(store, repository(a=model(1), b=model(1)))
    desired = await store.desired()
    assert desired.loaded == {A1: 1, B1: 7}
    assert desired.defaults == {"a": A1, "b": B1}


async def test_seeding_twice_writes_once(store: LeavingStore) -> None:
    for _ in range(2):
        await seed(store, repository(a=model(1)))
    assert (await store.desired()).revision == 1


async def test_seeding_needs_the_store(store: LeavingStore) -> None:
    store.away = True
    with pytest.raises(Unavailable):
        await seed(store, repository(a=model(1)))


def test_the_memory_repository_tells_of_a_missing_config_as_the_disk_does() -> None:
    with pytest.raises(InferenceFailed, match=r"no config\.pbtxt"):
        repository(a=StoredModel(None, {})).config("a")
