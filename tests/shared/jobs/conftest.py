"""Both stores on one clock that the test moves; the shared one on a real server that is empty at the start."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from services.shared.blobs.memory import MemoryBlobStore
from services.shared.clock import ManualClock
from services.shared.jobs.base import JobStore
from services.shared.jobs.keeper import JobKeeper
from services.shared.jobs.memory import MemoryJobStore
from services.shared.jobs.memory_queue import MemoryJobQueue
from services.shared.jobs.redis import RedisJobStore
from tests.support.valkey import ValkeyServer


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(params=["memory", "redis"])
async def store(request: pytest.FixtureRequest, clock: ManualClock) -> AsyncIterator[JobStore]:
    made: JobStore
    if request.param == "memory":
        made = MemoryJobStore(clock, max_waiting_items=100)
    else:
        server: ValkeyServer = request.getfixturevalue("empty_valkey")
        made = RedisJobStore(server.url, clock=clock, max_waiting_items=100)
    yield made
    await made.close()


@pytest.fixture
def blobs(clock: ManualClock) -> MemoryBlobStore:
    return MemoryBlobStore(clock=clock)


@pytest.fixture
def queue() -> MemoryJobQueue:
    return MemoryJobQueue()


@pytest.fixture
def keeper(store: JobStore, blobs: MemoryBlobStore, queue: MemoryJobQueue, clock: ManualClock) -> JobKeeper:
    return JobKeeper(store, blobs, queue, clock)
