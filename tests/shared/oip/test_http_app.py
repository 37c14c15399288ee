from __future__ import annotations

import asyncio
from collections.abc import Callable, MutableMapping
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from services.shared.asgi import BodyLimits
from services.shared.errors import Forbidden, Unauthenticated
from services.shared.inference.fake import FakeInference
from services.shared.model_ref import ModelRef
from services.shared.oip.handler import ProtocolHandler
from services.shared.oip.http_app import OipApp, build_oip_app
from tests.support.fake_models import classifier


async def resolve(name: str, version: int | None) -> ModelRef:
    return ModelRef(name, version or 1)


def build(**settings: Any) -> OipApp:
    handler = ProtocolHandler(FakeInference([classifier()]), resolve=resolve, server_version="1")
    return build_oip_app(handler, **settings)


def client(app: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://server")


@pytest.mark.parametrize(
    ("mount", "before"), [("/v2", ""), ("", ""), ("/prefix", "/prefix"), ("/prefix/v2", "/prefix")]
)
async def test_the_app_can_be_mounted_anywhere(mount: str, before: str) -> None:
    async with client(Starlette(routes=[Mount(mount, build())])) as http:
        metadata = await http.get(f"{before}/v2/models/pets")
        health = await http.get(f"{before}/v2/health/ready")

    assert metadata.json()["name"] == "pets"
    assert health.status_code == 200


async def test_head_is_answered_like_get() -> None:
    async with client(build()) as http:
        assert (await http.head("/v2/health/live")).status_code == 200


async def test_a_wrong_method_names_the_right_ones() -> None:
    async with client(build()) as http:
        answer = await http.get("/v2/models/pets/infer")

    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize(("error", "status"), [(Unauthenticated("no key"), 401), (Forbidden("wrong key"), 403)])
async def test_a_guard_keeps_the_repository(error: Exception, status: int) -> None:
    asked: list[str] = []

    async def guard(scope: MutableMapping[str, Any]) -> None:
        asked.append(scope["path"])
        raise error

    async with client(build(guard=guard)) as http:
        for path in ("/v2/repository/index", "/v2/repository/models/pets/unload", "/v2/logging"):
            assert (await http.post(path)).status_code == status
        assert (await http.get("/v2/models/pets/config")).status_code == 200

    assert asked == ["/v2/repository/index", "/v2/repository/models/pets/unload", "/v2/logging"]


async def test_a_wrong_filter_of_the_index_is_refused() -> None:
    async with client(build()) as http:
        answer = await http.post("/v2/repository/index", json={"ready": "yes"})

    assert answer.json() == {"error": "request: ready must be true or false"}


class Connection:
    """An ASGI connection whose messages the test sends one by one."""

    def __init__(self) -> None:
        self.arriving: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.sent: list[MutableMapping[str, Any]] = []

    async def send(self, message: MutableMapping[str, Any]) -> None:
        self.sent.append(message)

    def run(self, app: Callable[..., Any], path: str) -> asyncio.Task[None]:
        scope = {"type": "http", "method": "POST", "path": path, "headers": []}
        return asyncio.create_task(app(scope, self.arriving.get, self.send))


async def test_a_slow_body_is_given_up() -> None:
    connection = Connection()
    connection.arriving.put_nowait({"type": "http.request", "body": b"{", "more_body": True})

    await connection.run(build(limits=BodyLimits(timeout_s=0.02)), "/v2/models/pets/infer")

    assert connection.sent[0]["status"] == 408


async def test_a_client_that_leaves_during_its_body_gets_no_answer() -> None:
    connection = Connection()
    connection.arriving.put_nowait({"type": "http.request", "body": b"{", "more_body": True})
    connection.arriving.put_nowait({"type": "http.disconnect"})

    await connection.run(build(), "/v2/models/pets/infer")

    assert connection.sent == []
