"""The contract of FleetStore, over every implementation."""

import asyncio
import os
from pathlib import Path

import pytest

from services.shared.errors import Conflict, Unavailable
from services.shared.fleet.base import Desired, FleetStore, Heartbeat, RefReport
from services.shared.fleet.file import LEFT_BEHIND_S, FileFleetStore
from services.shared.fleet.memory import MemoryFleetStore
from services.shared.model_ref import ModelRef

DIGITS = ModelRef("digits", 1)


@pytest.fixture(params=["memory", "file"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> FleetStore:
    return MemoryFleetStore() if request.param == "memory" else FileFleetStore(tmp_path / "fleet")


async def test_a_new_store_is_at_revision_zero_and_empty(store: FleetStore) -> None:
    assert await store.desired() == Desired()
    assert await store.heartbeats() == ()


async def test_what_is_put_is_read_back_with_its_new_revision(store: FleetStore) -> None:
    written = await store.put(Desired(loaded={DIGITS: 3}, defaults={"digits": DIGITS}), expected_revision=0)
    assert written == Desired(1, {DIGITS: 3}, {"digits": DIGITS})
    assert await store.desired() == written


async def test_a_stale_writer_is_refused_and_changes_nothing(store: FleetStore) -> None:
    first = await store.put(Desired(loaded={DIGITS: 1}), expected_revision=0)
    with pytest.raises(Conflict, match="revision 1, not 0"):
        await store.put(Desired(), expected_revision=0)
    assert await store.desired() == first


async def test_of_many_writers_at_once_one_wins_each_revision(store: FleetStore) -> None:
    async def write(generation: int) -> bool:
        try:
            await store.put(Desired(loaded={DIGITS: generation}), expected_revision=0)
        except Conflict:
            return False
        return True

    assert sum(await asyncio.gather(*(write(g) for g in range(1, 17)))) == 1


async def test_the_last_heartbeat_of_each_process_is_kept_until_it_retires(store: FleetStore) -> None:
    late = Heartbeat("b", 3.0, 2, {DIGITS: RefReport(1, "failed", "no such file")})
    for beat in (Heartbeat("a", 1.0, 1, {}), Heartbeat("b", 2.0, 1, {}), late):
        await store.beat(beat)
    assert {b.process_id: b for b in await store.heartbeats()} == {"a": Heartbeat("a", 1.0, 1, {}), "b": late}
    await store.retire("a")
    await store.retire("a")
    assert await store.heartbeats() == (late,)


async def test_two_processes_share_one_directory(tmp_path: Path) -> None:
    one, other = FileFleetStore(tmp_path), FileFleetStore(tmp_path)
    await one.desired()
    await other.put(Desired(loaded={DIGITS: 1}), expected_revision=0)
    assert (await one.desired()).loaded == {DIGITS: 1}


async def test_a_damaged_file_is_unavailable_not_empty(tmp_path: Path) -> None:
    (tmp_path / "desired.json").write_text("{")
    with pytest.raises(Unavailable, match="desired set cannot be read"):
        await FileFleetStore(tmp_path).desired()


async def test_what_a_killed_process_left_is_removed_after_a_while(tmp_path: Path) -> None:
    killed, stalled, living = (Heartbeat(name, 1.0, 0, {}) for name in ("killed", "stalled", "living"))
    processes = tmp_path / "processes"
    for heartbeat in (killed, stalled):
        await FileFleetStore(tmp_path).beat(heartbeat)
    for name, age_s in (("killed", LEFT_BEHIND_S + 60), ("stalled", LEFT_BEHIND_S - 60)):
        path = processes / f"{name}.json"
        at = path.stat().st_mtime - age_s
        os.utime(path, (at, at))
    store = FileFleetStore(tmp_path)
    await store.beat(living)
    assert [heartbeat.process_id for heartbeat in await store.heartbeats()] == ["living", "stalled"]
