"""Both stores; the shared one on a real server that is empty at the start."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from services.shared.observations.base import ObservationStore
from services.shared.observations.memory import MemoryObservationStore
from services.shared.observations.redis import RedisObservationStore
from tests.support.valkey import ValkeyServer


@pytest.fixture(params=["memory", "redis"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[ObservationStore]:
    made: ObservationStore
    if request.param == "memory":
        made = MemoryObservationStore()
    else:
        server: ValkeyServer = request.getfixturevalue("empty_valkey")
        made = RedisObservationStore(server.url)
    yield made
    await made.close()
