"""Clients that leave before their quick answer, runs that fail, and answers that cannot be written."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import uvloop

from services.api.quick_answer import QuickAnswer
from services.shared.telemetry.base import FailureReason
from tests.support.connections import Client
from tests.support.polling import until
from tests.support.quick_answers import noted_lines
from tests.support.quick_api import (
    JOINED,
    TOO_BRIGHT,
    QuickApi,
    add_patient,
    grey_png,
    label_of,
    patient_post,
    quick_api,
)

Run = Callable[[Callable[[QuickApi], Coroutine[Any, Any, None]]], None]
ROUTE = "/v1/models/{model}/predict"
LEFT = 499


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Run:
    """Runs a test of the patient model on asyncio's loop, and on the one that serves; nothing may be left of it."""

    def in_loop(test: Callable[[QuickApi], Coroutine[Any, Any, None]]) -> None:
        async def whole() -> None:
            add_patient(tmp_path / "models")
            async with quick_api(tmp_path, tmp_path / "models") as api:
                await api.know_patient()
                await test(api)
                await api.idle()
                assert api.metrics("patient").pending == 0

        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(whole())

    return in_loop


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What is written of requests."""
    return noted_lines(monkeypatch)


async def waiting(api: QuickApi, *greys: int) -> list[Client]:
    """Clients whose requests wait in the engine, in that order."""
    clients = []
    for grey in greys:
        clients.append(await api.connect_quick())
        expected = api.metrics("patient").pending + 1
        await clients[-1].send(patient_post(grey))
        if expected < JOINED:
            await until(lambda expected=expected: api.metrics("patient").pending == expected)  # type: ignore[misc]
    return clients


def reset(client: Client) -> None:
    """Leaves without a word to wait for."""
    connection: socket.socket = client.writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.writer.transport.abort()


def close(client: Client) -> None:
    client.writer.close()


@pytest.mark.parametrize("leave", [reset, close])
def test_a_client_that_leaves_takes_its_request_along(
    run: Run, lines: list[dict[str, Any]], leave: Callable[[Client], None]
) -> None:
    async def test(api: QuickApi) -> None:
        lines.clear()
        [client] = await waiting(api, 7)
        assert api.spied.answered == 1
        assert api.held == (1, len(grey_png(7)), 1)
        leave(client)
        await api.idle()
        metrics = api.metrics("patient")
        assert (metrics.pending, metrics.failures[FailureReason.CANCELED]) == (0, 1)
        assert api.requests.counts()[ROUTE, LEFT, "patient"] == 1
        assert [line["status"] for line in lines] == [LEFT]

    run(test)


def test_who_leaves_takes_nobodys_answer_along(run: Run) -> None:
    async def test(api: QuickApi) -> None:
        first, second, third = await waiting(api, 1, 2, 3)
        reset(second)
        await until(lambda: api.metrics("patient").pending == 2)
        others = [first, third, *await waiting(api, 4, 5)]
        assert [label_of(await client.one()) for client in others] == [1, 3, 4, 5]
        assert api.spied.answered == 5
        assert api.metrics("patient").failures[FailureReason.CANCELED] == 1

    run(test)


def test_of_many_that_leave_at_any_moment_nothing_is_left(run: Run) -> None:
    async def test(api: QuickApi) -> None:
        chance, staying = random.Random(0), list[Client]()
        for _ in range(200):
            client = await api.connect_quick()
            whole = patient_post(chance.randrange(TOO_BRIGHT))
            end = chance.choice([1, 40, len(whole) - 1, len(whole), len(whole), len(whole)])
            client.writer.write(whole[:end])
            for _ in range(chance.randrange(4)):
                await asyncio.sleep(0)
            if chance.random() < 0.3:
                staying.append(client)
            else:
                chance.choice((reset, close))(client)
        for client in staying:
            reset(client)
        await api.idle()
        assert api.metrics("patient").failures[FailureReason.CANCELED] > 0
        assert api.spied.taken > 0
        again = await waiting(api, 1, 2, 3, 4)
        assert [label_of(await client.one()) for client in again] == [1, 2, 3, 4]

    run(test)


def test_of_a_run_that_fails_only_the_culprit_is_left_to_the_application(run: Run) -> None:
    async def test(api: QuickApi) -> None:
        clients = await waiting(api, 1, TOO_BRIGHT, 3, 4)
        others = [clients[0], *clients[2:]]
        assert [label_of(await client.one()) for client in others] == [1, 3, 4]
        await until(lambda: api.spied.given_back == 1)
        assert api.spied.answered == 3
        await until(lambda: api.metrics("patient").pending == 1)  # the culprit, begun anew
        company = await waiting(api, 5, 6, 7)
        assert [label_of(await client.one()) for client in company] == [5, 6, 7]
        error = await clients[1].one()
        assert (error.status, error.headers["content-type"]) == (500, "application/problem+json")
        assert error.document["request_id"] == error.headers["x-request-id"]
        assert api.requests.counts()[ROUTE, 500, "patient"] == 1

    run(test)


def test_who_leaves_after_it_was_left_to_the_application_is_withdrawn_there(run: Run) -> None:
    async def test(api: QuickApi) -> None:
        clients = await waiting(api, 1, TOO_BRIGHT, 3, 4)
        await until(lambda: api.spied.given_back == 1)
        await until(lambda: api.metrics("patient").pending == 1)
        reset(clients[1])
        await api.idle()
        assert api.metrics("patient").failures[FailureReason.CANCELED] == 1
        assert api.requests.counts()[ROUTE, LEFT, "patient"] == 1

    run(test)


def test_an_answer_that_cannot_be_written_is_the_applications(
    run: Run, lines: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    write = QuickAnswer.write

    def broken_once(self: QuickAnswer, index: int, *more: Any) -> bytes:
        if self._outcome.best[index][0] == 2:
            raise ValueError("no words for a two")
        return write(self, index, *more)

    monkeypatch.setattr(QuickAnswer, "write", broken_once)

    async def test(api: QuickApi) -> None:
        lines.clear()
        first, second, *more = await waiting(api, 1, 2, 3, 4)
        assert [label_of(await client.one()) for client in (first, *more)] == [1, 3, 4]
        await until(lambda: api.metrics("patient").pending == 1)  # the application's
        company = await waiting(api, 5, 6, 7)
        assert [label_of(await client.one()) for client in (second, *company)] == [2, 5, 6, 7]
        await api.idle()
        assert [line["status"] for line in lines] == 7 * [200]

    run(test)


def test_a_log_that_cannot_be_written_costs_nobody_an_answer(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    class Closed:
        def write(self, text: str) -> int:
            raise BrokenPipeError

        def flush(self) -> None:
            raise BrokenPipeError

    async def test(api: QuickApi) -> None:
        with monkeypatch.context() as patch:
            patch.setattr("services.shared.telemetry.access_log._FLUSH_LINES", 1)
            patch.setattr("sys.stderr", Closed())
            clients = await waiting(api, 1, 2, 3, 4)
            assert [label_of(await client.one()) for client in clients] == [1, 2, 3, 4]
            await api.idle()

    run(test)
