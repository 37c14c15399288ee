"""Both stores; the shared one on a real server that is empty at the start."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import redis

from services.shared.observations.base import ObservationStore
from services.shared.observations.memory import MemoryObservationStore
from services.shared.observations.redis import RedisObservationStore
from tests.support.valkey import ValkeyServer, running_valkey


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    with running_valkey(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture(params=["memory", "redis"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[ObservationStore]:
    made: ObservationStore
    if request.param == "memory":
        made = MemoryObservationStore()
    else:
        server: ValkeyServer = request.getfixturevalue("valkey")
        with redis.Redis.from_url(server.url) as plain:
            plain.flushall()
        made = RedisObservationStore(server.url)
    yield made
    await made.close()
