"""What was in flight in a process that died is counted by a process of its own, and nothing of it stops the parent."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from services.api import lost_work as lost_work_module
from services.api.lost_work import LostWork
from services.shared.observations.in_flight import InFlightLedger
from services.shared.observations.lost import lost_files
from services.shared.observations.redis import RedisObservationStore
from services.shared.release.release_counters import ArmKey
from tests.support.polling import until
from tests.support.valkey import ValkeyServer, running_valkey

ARM = ArmKey("r-1", 2, "candidate")


def had_in_flight(directory: Path, pid: int, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, "getpid", lambda: pid)
        InFlightLedger(directory, f"api-{pid}").take(ARM.release, ARM.step, ARM.arm)[0] += count


async def errors(server: ValkeyServer) -> dict[str, int]:
    store = RedisObservationStore(server.url)
    arms = (await store.evidence(["r-1"]))["r-1"].totals.arms
    await store.close()
    return dict(arms[ARM].errors) if ARM in arms else {}


async def test_it_is_counted_when_a_process_dies_and_when_others_die_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_valkey(tmp_path / "valkey") as server:
        lost = LostWork(tmp_path, server.url, os.environ, asyncio.Event())
        for pid, count in ((71, 2), (72, 3), (73, 5)):
            had_in_flight(tmp_path, pid, count, monkeypatch)
        await asyncio.gather(lost.see_to(71, -9), lost.see_to(72, 1))
        await lost.see_to(73, 0)  # ended as it should
        assert await errors(server) == {"ProcessDied": 5}
        assert lost_files(tmp_path) == []
        had_in_flight(tmp_path, 74, 1, monkeypatch)
        await lost.see_to(74, -11)
        assert await errors(server) == {"ProcessDied": 6}


async def test_it_is_tried_again_until_the_store_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lost_work_module, "_RETRY_S", 0.01)
    with running_valkey(tmp_path / "valkey") as server:
        server.stop()
        had_in_flight(tmp_path, 71, 2, monkeypatch)
        seeing = asyncio.create_task(LostWork(tmp_path, server.url, os.environ, asyncio.Event()).see_to(71, -9))
        await until(lambda: bool(lost_files(tmp_path)))
        server.start()
        async with asyncio.timeout(60):
            await seeing
        assert await errors(server) == {"ProcessDied": 2}


async def test_a_parent_that_stops_does_not_wait_for_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lost_work_module, "_LAST_WORDS_S", 0.01)
    stopping = asyncio.Event()
    had_in_flight(tmp_path, 71, 2, monkeypatch)
    url = f"unix://{tmp_path}/nobody"
    seeing = asyncio.create_task(LostWork(tmp_path, url, os.environ, stopping).see_to(71, -9))
    await until(lambda: bool(lost_files(tmp_path)))
    stopping.set()
    async with asyncio.timeout(20):
        await seeing


async def test_without_a_store_there_is_nothing_to_see_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    had_in_flight(tmp_path, 71, 2, monkeypatch)
    await LostWork(tmp_path, "", os.environ, asyncio.Event()).see_to(71, -9)
    assert lost_files(tmp_path) == []
