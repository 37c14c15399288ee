"""While there is no place, a prediction is refused by its connection, before its body and without the application."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from services.api.admission import Admission, AdmissionLimits
from services.api.auth import Authenticator
from services.api.predict import ROUTE
from services.api.quick_refusal import QuickRefusal
from services.api.request_records import RequestRecords
from services.shared.clock import ManualClock
from services.shared.keys.base import Scope
from services.shared.keys.issue import NewKey, issue
from services.shared.keys.memory import MemoryKeyStore
from services.shared.priority import Priority
from services.shared.telemetry.http_requests import HttpRequests
from tests.support.connections import App, Client, serving
from tests.support.hostile_http import PREDICT, post


class Door:
    """What stands between a connection and the application, with places for four."""

    def __init__(self) -> None:
        self.app = App()
        self.admission = Admission(AdmissionLimits(max_requests=4), ManualClock())
        self.keys = MemoryKeyStore()
        self.requests = HttpRequests()
        self.is_draining = False
        self.refuse = QuickRefusal(
            RequestRecords(self.requests), Authenticator(self.keys), self.admission, draining=lambda: self.is_draining
        )

    def fill(self) -> None:
        for _ in range(4):
            self.admission.enter("other", 0, Priority.HIGH)

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        async with serving(self.app, refuse=self.refuse) as (_, connect):
            yield await connect()


@pytest.fixture
def door() -> Door:
    return Door()


def predict(*headers: str, path: str = PREDICT, body: bytes = b"picture") -> bytes:
    return post(path, "image/png", body, *headers, close=False)


async def test_without_a_place_it_is_refused_and_without_the_application(door: Door) -> None:
    door.fill()
    async with door.client() as client:
        for number in range(1, 4):
            await client.send(predict("X-Request-Id: mine"))
            answer = await client.one()
            assert answer.status == 503
            assert answer.headers["retry-after"] == "1"
            assert answer.headers["x-request-id"] == "mine"
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.document["type"] == "urn:grayscale:problem:overloaded"
            assert answer.document["request_id"] == "mine"
            assert door.admission.refused == number
            assert door.requests.counts() == {(ROUTE, 503, ""): number}
    assert door.requests.in_flight == 0
    assert door.admission.requests == 4
    assert not door.app.seen


async def test_the_body_is_not_waited_for_and_the_connection_stays_usable(door: Door) -> None:
    door.fill()
    body = b"x" * 300_000
    whole = predict(body=body)
    async with door.client() as client:
        await client.send(whole[:1000])
        assert (await client.one()).status == 503
        await client.send(whole[1000:])
        await client.send(predict())
        assert (await client.one()).status == 503
    assert not door.app.seen


@pytest.mark.parametrize(
    "headers",
    [("X-Priority: high",), ("X-Timeout-Ms: 100",), ("X-Release-Arm: stable",), ("Content-Encoding: gzip",)],
)
async def test_what_asks_for_something_unusual_is_the_applications_to_judge(
    door: Door, headers: tuple[str, ...]
) -> None:
    door.fill()
    async with door.client() as client:
        await client.send(predict(*headers))
        answer = await client.one()
        assert answer.status == 200
    assert len(door.app.seen) == 1


@pytest.mark.parametrize(
    "path", ["/v1/models", f"{PREDICT}?top_k=1", "/v1/models/no%0Amodel/predict", "/v2/models/m/infer"]
)
async def test_what_is_no_plain_prediction_is_left_to_the_application(door: Door, path: str) -> None:
    door.fill()
    async with door.client() as client:
        await client.send(predict(path=path))
        assert (await client.one()).status == 200
    assert len(door.app.seen) == 1


async def test_with_a_place_a_prediction_goes_on(door: Door) -> None:
    async with door.client() as client:
        await client.send(predict())
        assert (await client.one()).status == 200
        await client.send(predict(body=b"x" * 300_000))
        assert (await client.one()).status == 200
    assert len(door.app.seen) == 2
    assert (door.admission.requests, door.admission.refused) == (0, 0)
    assert door.requests.in_flight == 0


async def test_while_it_drains_the_application_answers_because_it_closes_connections(door: Door) -> None:
    door.fill()
    door.is_draining = True
    async with door.client() as client:
        await client.send(predict())
        assert (await client.one()).status == 200


async def test_who_needs_a_key_is_told_so_and_not_that_there_is_no_place(door: Door) -> None:
    issued = issue(NewKey("camera", frozenset({Scope.PREDICT})), now=0.0)
    await door.keys.add(issued.key)
    door.fill()
    async with door.client() as client:
        await client.send(predict())
        assert (await client.one()).status == 200  # of the application, whose guard would refuse it
        await client.send(predict(f"X-API-Key: {issued.secret}"))
        assert (await client.one()).status == 503
    assert len(door.app.seen) == 1
