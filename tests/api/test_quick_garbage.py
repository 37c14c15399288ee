"""Answered requests are freed at once. In cycles they would wait for the collector, tens of objects each: memory that
grows by megabytes between its visits, and pauses when it comes."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from services.api.bounded_protocol import BoundedProtocol
from services.api.request_cycle import RequestCycle
from services.shared.engine.waiting_queue import QueuedRequest
from tests.support.polling import until
from tests.support.quick_answers import digits_api, exchanged, png_post
from tests.support.quick_api import QuickApi

pytestmark = pytest.mark.asyncio(loop_scope="module")
CLIENTS, TURNS = 8, 10


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def api(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[QuickApi]:
    async with digits_api(tmp_path_factory.mktemp("garbage")) as api:
        yield api


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def alive(kind: type) -> int:
    return sum(issubclass(type(each), kind) for each in gc.get_objects())  # asking a module for its class may import it


@pytest.mark.usefixtures("no_collector")
async def test_requests_that_are_answered_together_leave_nothing_for_the_collector(api: QuickApi) -> None:
    clients = [await api.connect_quick() for _ in range(CLIENTS)]
    before, cycles, queued = api.spied.answered, alive(RequestCycle), alive(QueuedRequest)
    for _ in range(TURNS):
        for client in clients:
            await client.send(png_post())
        for client in clients:
            assert (await client.one()).status == 200
    assert api.spied.answered == before + CLIENTS * TURNS
    assert alive(RequestCycle) - cycles <= CLIENTS  # a connection keeps its last one
    assert alive(QueuedRequest) - queued == 0


@pytest.mark.usefixtures("no_collector")
async def test_ended_connections_leave_nothing_for_the_collector(api: QuickApi) -> None:
    connections = alive(BoundedProtocol)
    for _ in range(TURNS):
        client = await api.connect_quick()
        assert (await exchanged(client, png_post())).status == 200
        await client.send(png_post("X-Priority: low", "Connection: close"))
        [last] = await client.all()
        assert last.status == 200
        client.writer.close()
    await until(lambda: alive(BoundedProtocol) <= connections)


@pytest.mark.usefixtures("no_collector")
async def test_requests_of_the_application_leave_no_cycle_of_their_own(api: QuickApi) -> None:
    client = await api.connect_quick()
    cycles = alive(RequestCycle)
    for _ in range(TURNS):
        assert (await exchanged(client, png_post("X-Priority: low"))).status == 200
    assert alive(RequestCycle) - cycles <= 2
