"""Load, unload and promote where another server has the models."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import pytest

from services.shared.errors import Conflict, InferenceFailed, NotFound, Unavailable
from services.shared.fleet.base import Desired
from services.shared.fleet.memory import MemoryFleetStore
from services.shared.inference import remote_control, wished_versions
from services.shared.inference.base import IndexEntry
from services.shared.inference.fake import FakeInference
from services.shared.inference.remote_control import RemoteControl, highest_ready
from services.shared.model_ref import ModelRef
from tests.support.fake_models import classifier
from tests.support.polling import until

PETS1, PETS2 = ModelRef("pets", 1), ModelRef("pets", 2)


class ContendedStore(MemoryFleetStore):
    """Another writer is first, as often as `conflicts` says; `writes` counts what was written."""

    conflicts = 0
    writes = 0

    async def put(self, desired: Desired, *, expected_revision: int) -> Desired:
        if self.conflicts:
            self.conflicts -= 1
            others = Desired(defaults={"others": ModelRef("others", 5)})
            await super().put(others, expected_revision=expected_revision)
            raise Conflict("another writer was first")
        self.writes += 1
        return await super().put(desired, expected_revision=expected_revision)


@pytest.fixture
def fake() -> FakeInference:
    return FakeInference([classifier("pets")])


@pytest.fixture
def store() -> ContendedStore:
    return ContendedStore()


@pytest.fixture
def control(fake: FakeInference, store: ContendedStore) -> RemoteControl:
    return RemoteControl(fake, store)


async def defaults(store: ContendedStore) -> dict[str, ModelRef]:
    return dict((await store.desired()).defaults)


@pytest.mark.parametrize(
    ("index", "expected"),
    [
        ((), {}),
        ((IndexEntry("a", 1, "READY"), IndexEntry("a", 10, "READY"), IndexEntry("a", 9, "READY")), {"a": 10}),
        ((IndexEntry("a", 1, "READY"), IndexEntry("a", 2, "LOADING")), {"a": 1}),
        ((IndexEntry("a", 1, "UNAVAILABLE", "why"), IndexEntry("a", 2, "UNLOADING")), {}),
        ((IndexEntry("a", None, "READY"), IndexEntry("a", None, "UNAVAILABLE")), {}),
        ((IndexEntry("b", 3, "READY"), IndexEntry("a", 1, "READY")), {"a": 1, "b": 3}),
    ],
)
def test_the_highest_version_that_is_ready_stands_for_a_name(
    index: tuple[IndexEntry, ...], expected: dict[str, int]
) -> None:
    assert highest_ready(index) == {name: ModelRef(name, version) for name, version in expected.items()}


async def test_a_load_gives_a_new_name_a_default_and_moves_none(
    control: RemoteControl, fake: FakeInference, store: ContendedStore
) -> None:
    fake.add(classifier("birds"))
    await control.load("birds")
    assert await defaults(store) == {"pets": PETS1, "birds": ModelRef("birds", 1)}
    await control.load("pets", 2)
    assert await fake.ready(PETS2)
    assert (await defaults(store))["pets"] == PETS1


async def test_a_load_that_fails_changes_nothing(
    control: RemoteControl, fake: FakeInference, store: ContendedStore
) -> None:
    fake.script(PETS2).load_failure = InferenceFailed("the file is broken")
    with pytest.raises(InferenceFailed, match="the file is broken"):
        await control.load("pets", 2)
    with pytest.raises(NotFound):
        await control.load("nobody")
    assert store.writes == 0


async def test_an_unload_is_the_servers(control: RemoteControl, fake: FakeInference) -> None:
    await control.unload("pets", 1)
    assert not await fake.ready(PETS1)
    with pytest.raises(NotFound):
        await control.unload("pets", 1)


async def test_a_promotion_changes_what_a_name_means_and_nothing_else(
    control: RemoteControl, fake: FakeInference, store: ContendedStore
) -> None:
    before = Desired(loaded={PETS1: 3}, defaults={"pets": PETS1, "dogs": PETS1})
    await store.put(before, expected_revision=0)
    await fake.load("pets", 2)
    await control.promote("pets", PETS2)
    assert await store.desired() == Desired(2, {PETS1: 3}, {"pets": PETS2, "dogs": PETS1})


async def test_what_was_asked_for_by_version_is_wished_for_until_it_is_unloaded(
    control: RemoteControl, fake: FakeInference, store: ContendedStore
) -> None:
    await control.load("pets")
    assert (await store.desired()).loaded == {}
    await control.load("pets", 2)
    generation = (await store.desired()).loaded[PETS2]
    await control.load("pets", 2)
    assert (await store.desired()).loaded == {PETS2: generation}
    await control.unload("pets", 1)
    assert (await store.desired()).loaded == {PETS2: generation}
    await control.unload("pets")
    assert (await store.desired()).loaded == {}


async def test_a_server_that_came_back_without_a_version_is_asked_for_it(
    fake: FakeInference, store: ContendedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def bring_back(name: str, versions: Iterable[int]) -> None:
        for version in versions:
            await fake.load(name, version)

    monkeypatch.setattr(remote_control, "SEED_S", 0.005)
    monkeypatch.setattr(remote_control, "WAITING_S", 0.005)
    monkeypatch.setattr(wished_versions, "SETTLE_S", 0.0)
    control = RemoteControl(fake, store, bring_back=bring_back)
    await store.put(Desired(defaults={"pets": PETS2}), expected_revision=0)
    running = asyncio.create_task(control.run())
    await until(lambda: PETS2 in control.ready)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_only_a_version_that_answers_is_promoted(control: RemoteControl, store: ContendedStore) -> None:
    for ref in (PETS2, ModelRef("nobody", 1)):
        with pytest.raises(Conflict, match=f"{ref} is not loaded: load it before it becomes the default of pets"):
            await control.promote("pets", ref)
    assert store.writes == 0


@pytest.mark.parametrize("conflicts", [1, 3])
async def test_what_another_writer_wrote_first_is_kept(
    control: RemoteControl, store: ContendedStore, conflicts: int
) -> None:
    others = {"others": ModelRef("others", 5)}
    store.conflicts = conflicts
    await control.promote("pets", PETS1)
    assert await defaults(store) == {**others, "pets": PETS1}
    store.conflicts = conflicts
    await control.seed_defaults()
    assert await defaults(store) == {**others, "pets": PETS1}


async def test_seeding_writes_only_what_is_new(control: RemoteControl, store: ContendedStore) -> None:
    for _ in range(3):
        await control.seed_defaults()
    assert await defaults(store) == {"pets": PETS1}
    assert store.writes == 1


async def test_models_that_a_server_gets_by_other_ways_are_found(
    control: RemoteControl, fake: FakeInference, store: ContendedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_control, "SEED_S", 0.005)
    running = asyncio.create_task(control.run())
    await until(lambda: store.writes == 1)
    fake.add(classifier("birds"))
    await fake.load("birds")
    await until(lambda: store.writes == 2)
    assert (await defaults(store))["birds"] == ModelRef("birds", 1)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_a_server_that_is_away_is_asked_again(
    control: RemoteControl,
    fake: FakeInference,
    store: ContendedStore,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    answers = fake.index

    async def away() -> tuple[IndexEntry, ...]:
        raise Unavailable("connection refused")

    monkeypatch.setattr(remote_control, "SEED_S", 0.005)
    monkeypatch.setattr(fake, "index", away)
    running = asyncio.create_task(control.run())
    await until(lambda: len(caplog.records) >= 2)
    assert vars(caplog.records[0])["reason"] == "connection refused"
    monkeypatch.setattr(fake, "index", answers)
    await until(lambda: store.writes == 1)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_what_the_server_has_is_known_until_it_does_not_answer(
    control: RemoteControl, fake: FakeInference, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away() -> tuple[IndexEntry, ...]:
        raise Unavailable("no answer")

    assert control.ready == frozenset()
    await fake.load("pets", 2)
    following = asyncio.create_task(control.run())
    await until(lambda: control.ready == {PETS1, PETS2})
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    monkeypatch.setattr(fake, "index", away)
    following = asyncio.create_task(control.run())
    await until(lambda: control.ready == frozenset())
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
