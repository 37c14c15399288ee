"""Answered requests are freed at once. In cycles they would wait for the collector, tens of objects each: memory that
grows by megabytes between its visits, and pauses when it comes."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from services.api.bounded_protocol import BoundedProtocol
from services.api.quick_predict import QuickRequest
from services.api.request_cycle import RequestCycle
from services.shared.brief_predictor import Joined
from services.shared.engine.batcher import Batcher
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
@pytest.mark.parametrize("size", [None, 1], ids=["in their turn", "at once"])
async def test_requests_that_are_answered_together_leave_nothing_for_the_collector(
    api: QuickApi, size: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if size is not None:
        monkeypatch.setattr(Batcher, "brief_size", size)  # every group is full with its first
    clients = [await api.connect_quick() for _ in range(CLIENTS)]
    kinds = (RequestCycle, QueuedRequest, QuickRequest, Joined)
    before, living = api.spied.answered, [alive(kind) for kind in kinds]
    for _ in range(TURNS):
        for client in clients:
            await client.send(png_post())
        for client in clients:
            assert (await client.one()).status == 200
    assert api.spied.answered == before + CLIENTS * TURNS
    assert [alive(kind) for kind in kinds] == living


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
