"""Health and metrics over a real socket, and where they listen."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator

import httpx
import pytest

from services.shared.health_server import HealthApp, HealthServer, listen


@pytest.fixture
def reasons() -> list[str]:
    return ["no worker process is ready yet"]


@pytest.fixture
async def client(reasons: list[str]) -> AsyncIterator[httpx.AsyncClient]:
    listening = socket.create_server(("127.0.0.1", 0))
    server = HealthServer(HealthApp(lambda: reasons, lambda: b"a_total 1\n"))
    await server.start(listening)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{listening.getsockname()[1]}") as client:
        yield client
    await server.stop()


async def test_it_lives_before_it_is_ready(client: httpx.AsyncClient, reasons: list[str]) -> None:
    assert (await client.get("/healthz/live")).status_code == 200
    answer = await client.get("/healthz/ready")
    assert (answer.status_code, answer.json()["reasons"]) == (503, reasons)
    reasons.clear()
    answer = await client.get("/healthz/ready")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


async def test_metrics_are_prometheus_text(client: httpx.AsyncClient) -> None:
    answer = await client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert answer.text == "a_total 1\n"


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/", 404), ("GET", "/metrics/", 404), ("POST", "/metrics", 405)]
)
async def test_nothing_else_is_there(client: httpx.AsyncClient, method: str, path: str, status: int) -> None:
    assert (await client.request(method, path)).status_code == status


def test_a_port_that_was_asked_for_is_taken_or_refused_and_the_usual_one_may_be_another() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match="in use"):
            listen("127.0.0.1", port, 0)
        with listen("127.0.0.1", None, port) as another:
            assert another.getsockname()[1] not in (0, port)
    with listen("127.0.0.1", port, 0) as now:
        assert now.getsockname()[1] == port


def test_accepted_connections_send_what_they_have_at_once() -> None:
    with listen("127.0.0.1", 0, 0) as listening, socket.create_connection(listening.getsockname()):
        accepted, _ = listening.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
