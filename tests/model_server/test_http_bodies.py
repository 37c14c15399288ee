"""The HTTP listener and bodies that no well-behaved client sends."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib

import httpx
import pytest

from services.shared.model_ref import ModelRef
from tests.support.oip_server import MESSAGE_BYTES, RunningServer, until

INFER = "/v2/models/identity_int32/infer"


def body(shape: object = (1, 2), data: object = (1, 2), **more: object) -> bytes:
    return json.dumps({"inputs": [{"name": "x", "datatype": "INT32", "shape": shape, "data": data, **more}]}).encode()


async def post(server: RunningServer, content: bytes, **headers: str) -> httpx.Response:
    named = {key.replace("_", "-"): value for key, value in headers.items()}
    async with httpx.AsyncClient(base_url=f"http://{server.http}") as client:
        return await client.post(INFER, content=content, headers={"accept-encoding": "identity", **named})


async def test_curl_s_plain_json_is_answered_in_json(server: RunningServer) -> None:
    answer = await post(server, body(data=[[1, 2]]))

    assert answer.headers["content-type"] == "application/json"
    assert "inference-header-content-length" not in answer.headers
    assert answer.json() == {
        "model_name": "identity_int32",
        "model_version": "1",
        "outputs": [{"name": "y", "datatype": "INT32", "shape": [1, 2], "data": [1, 2]}],
    }


@pytest.mark.parametrize(
    ("content", "headers", "says"),
    [
        (b"", {}, "JSON"),
        (b"[]", {}, "must be a JSON object"),
        (b"{", {}, "failed to parse"),
        (b"[" * 100_000, {}, "nested too deeply"),
        (body(data=[1]), {}, "needs 2"),
        (body(data=[1, 2.5]), {}, "whole numbers"),
        (body(data=[1, 2**31]), {}, "does not fit INT32"),
        (body(shape=[1, -2]), {}, "shape must be"),
        (body(shape=[0, 2**62], data=[]), {}, "larger than any tensor"),
        (body(parameters={"binary_data_size": "8"}), {}, "binary_data_size must be"),
        (body(parameters={"binary_data_size": 8}), {}, "expecting 8 additional bytes"),
        (body(parameters={"shared_memory_region": "r"}), {}, "shared memory"),
        (body(), {"inference_header_content_length": "9999"}, "must be the length of the JSON"),
        (body(), {"inference_header_content_length": "-1"}, "must be the length of the JSON"),
        (body(), {"inference_header_content_length": "0"}, "must be the length of the JSON"),
        (body() + b"1234", {"inference_header_content_length": str(len(body()))}, "4 bytes follow the last tensor"),
        (body(), {"content_encoding": "br"}, "use gzip or deflate"),
        (body(), {"content_encoding": "gzip"}, "not valid gzip"),
        (gzip.compress(body(), mtime=0)[:-9], {"content_encoding": "gzip"}, "ends too early"),
    ],
)
async def test_a_wrong_body_is_refused_with_a_sentence(
    server: RunningServer, content: bytes, headers: dict[str, str], says: str
) -> None:
    answer = await post(server, content, **headers)

    assert answer.status_code == (501 if says == "shared memory" else 400)
    assert says in answer.json()["error"]
    assert server.models.calls == []


@pytest.mark.parametrize("encoding", ["", "gzip", "deflate"])
async def test_the_body_limit_counts_after_decompression(server: RunningServer, encoding: str) -> None:
    large = b" " * MESSAGE_BYTES + body()
    content = {"": large, "gzip": gzip.compress(large), "deflate": zlib.compress(large)}[encoding]

    answer = await post(server, content, **({"content_encoding": encoding} if encoding else {}))

    assert answer.status_code == 400
    assert f"larger than {MESSAGE_BYTES} bytes" in answer.json()["error"]


async def test_a_body_of_unknown_length_is_limited_too(server: RunningServer) -> None:
    async def chunks() -> object:
        for _ in range(MESSAGE_BYTES // 65536 + 1):
            yield b" " * 65536

    async with httpx.AsyncClient(base_url=f"http://{server.http}") as client:
        answer = await client.post(INFER, content=chunks())  # type: ignore[arg-type]

    assert answer.status_code == 400
    assert "larger than" in answer.json()["error"]


async def test_a_large_tensor_leaves_the_loop_free_and_comes_back(server: RunningServer) -> None:
    numbers = list(range(100_000))

    answer = await post(server, body(shape=[1, len(numbers)], data=numbers))

    assert answer.json()["outputs"][0]["data"] == numbers


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v2/health/live", 200),
        ("GET", "/v2/health/ready", 200),
        ("GET", "/v2/models/pets/ready", 200),
        ("GET", "/v2/models/pets/versions/2/ready", 400),
        ("GET", "/v2/models/nobody/ready", 400),
    ],
)
async def test_health_answers_have_no_body(server: RunningServer, method: str, path: str, status: int) -> None:
    async with httpx.AsyncClient(base_url=f"http://{server.http}") as client:
        answer = await client.request(method, path)

    assert (answer.status_code, answer.content) == (status, b"")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/v2/health/live", 405),
        ("GET", "/v2/models/pets/infer", 405),
        ("GET", "/v2/repository/index", 405),
        ("GET", "/v3", 404),
        ("GET", "/v2/models/pets/nothing", 404),
        ("GET", "/v2/models/pets/versions/x", 400),
        ("GET", "/v2/logging", 501),
        ("POST", "/v2/trace/setting", 501),
        ("GET", "/v2/systemsharedmemory/status", 501),
        ("POST", "/v2/repository/other/index", 501),
    ],
)
async def test_other_paths_and_methods_have_their_status(
    server: RunningServer, method: str, path: str, status: int
) -> None:
    async with httpx.AsyncClient(base_url=f"http://{server.http}") as client:
        answer = await client.request(method, path)

    assert answer.status_code == status
    assert answer.json()["error"]


async def test_an_exiting_server_says_503(server: RunningServer) -> None:
    server.handler.exit()

    async with httpx.AsyncClient(base_url=f"http://{server.http}") as client:
        answers = [await client.get(f"/v2/health/{kind}") for kind in ("live", "ready")]

    assert [(each.status_code, each.content) for each in answers] == [(503, b""), (503, b"")]


async def test_a_closed_connection_cancels_queued_work(server: RunningServer) -> None:
    server.models.script(ModelRef("identity_int32", 1)).gate = asyncio.Event()
    _, writer = await asyncio.open_connection("127.0.0.1", server.addresses.http)
    head = f"POST {INFER} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body())}\r\n\r\n".encode()
    writer.write(head + body())
    await until(lambda: len(server.models.calls) == 1)

    writer.close()

    await until(lambda: len(server.models.cancelled) == 1)
