"""Wake-ups by Celery through a real server: heard, heard again after the server was away, never in a caller's way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from services.shared.jobs.celery import CeleryJobQueue
from services.shared.priority import Priority
from services.shared.settings import SettingsError
from services.worker.wake_listener import WakeListener
from tests.support.polling import until
from tests.support.valkey import ValkeyServer, running_valkey


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    with running_valkey(tmp_path_factory.mktemp("valkey") / "a data directory") as server:
        yield server


@pytest.fixture
async def queue(server: ValkeyServer) -> AsyncIterator[CeleryJobQueue]:
    queue = CeleryJobQueue(server.url)
    yield queue
    await queue.close()


@pytest.fixture
def listening(server: ValkeyServer) -> Iterator[list[None]]:
    rings: list[None] = []
    listener = WakeListener(server.url, lambda: rings.append(None), name="test@here")
    listener.start()
    yield rings
    listener.stop(10.0)


async def until_heard(rings: list[None], wake: Callable[[], object]) -> None:
    """Wakes again and again, as a server that was away may lose some of it."""
    before = len(rings)
    async with asyncio.timeout(30):
        while len(rings) == before:
            wake()
            await asyncio.sleep(0.1)


@pytest.mark.parametrize("priority", list(Priority))
async def test_a_wake_up_of_every_priority_reaches_a_worker(
    queue: CeleryJobQueue, listening: list[None], priority: Priority
) -> None:
    await queue.wake(priority, 3)
    await until(lambda: len(listening) == 3)


async def test_wake_ups_from_before_a_worker_came_are_heard(queue: CeleryJobQueue, server: ValkeyServer) -> None:
    await queue.wake(Priority.NORMAL, 1)
    rings: list[None] = []
    listener = WakeListener(server.url, lambda: rings.append(None), name="late@here")
    listener.start()
    await until(lambda: len(rings) == 1)
    await asyncio.to_thread(listener.stop, 10.0)


async def test_no_chunks_wake_nobody(queue: CeleryJobQueue, listening: list[None]) -> None:
    await queue.wake(Priority.NORMAL, 0)
    await queue.wake(Priority.NORMAL, 1)
    await until(lambda: len(listening) == 1)


async def test_both_ends_survive_a_server_that_was_away(
    queue: CeleryJobQueue, listening: list[None], server: ValkeyServer, caplog: pytest.LogCaptureFixture
) -> None:
    await queue.wake(Priority.NORMAL, 1)
    await until(lambda: len(listening) == 1)
    server.stop()
    try:
        for _ in range(3):
            await queue.wake(Priority.HIGH, 1)
        await until(lambda: any("cannot be woken" in record.message for record in caplog.records))
    finally:
        server.start()
    tasks: list[asyncio.Task[None]] = []
    await until_heard(listening, lambda: tasks.append(asyncio.create_task(queue.wake(Priority.LOW, 1))))
    await asyncio.gather(*tasks)
    assert sum("cannot be woken" in record.message for record in caplog.records) == 1


async def test_a_server_that_hangs_holds_nobody_up(queue: CeleryJobQueue, server: ValkeyServer) -> None:
    server.hang()
    try:
        async with asyncio.timeout(2.0):  # the server does not answer at all, so any waiting would be for ever
            for _ in range(100):
                await queue.wake(Priority.HIGH, 1000)
            await queue.close()
    finally:
        server.resume()


async def test_an_address_that_is_none_is_said_at_once() -> None:
    with pytest.raises(SettingsError):
        CeleryJobQueue("redis+cluster://host:1/0")
