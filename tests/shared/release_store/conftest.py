"""Both stores; the shared one on a real server that is empty at the start."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from services.shared.release_store.base import ReleaseStore
from services.shared.release_store.memory import MemoryReleaseStore
from services.shared.release_store.redis import RedisReleaseStore
from tests.support.valkey import ValkeyServer


@pytest.fixture(params=["memory", "redis"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[ReleaseStore]:
    made: ReleaseStore
    if request.param == "memory":
        made = MemoryReleaseStore()
    else:
        server: ValkeyServer = request.getfixturevalue("empty_valkey")
        made = RedisReleaseStore(server.url)
    yield made
    await made.close()
