"""NVIDIA's blocking clients, each in a thread, with compressed bodies."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.http

from tests.support.oip_server import RunningServer

IMAGE = np.full((2, 2, 2, 3), 9, dtype=np.uint8)


def given(module: Any, *, binary: bool | None = None) -> Any:
    kind = {} if binary is None else {"binary_data": binary}
    return module.InferInput("image", [2, 2, 2, 3], "UINT8").set_data_from_numpy(IMAGE, **kind)


@pytest.mark.parametrize("request_encoding", [None, "gzip", "deflate"])
@pytest.mark.parametrize("response_encoding", [None, "gzip", "deflate"])
async def test_http_bodies_are_compressed_as_asked(
    server: RunningServer, request_encoding: str | None, response_encoding: str | None
) -> None:
    def call() -> tuple[str | None, list[list[float]]]:
        client = tritonclient.http.InferenceServerClient(server.http)
        try:
            seen: list[str | None] = []
            answer = client.infer(
                "pets",
                [given(tritonclient.http)],
                request_compression_algorithm=request_encoding,
                response_compression_algorithm=response_encoding,
            )
            pending = client.async_infer(
                "pets", [given(tritonclient.http)], response_compression_algorithm=response_encoding
            )
            seen.append(pending._greenlet.get().get("content-encoding"))
            return seen[0], answer.as_numpy("mean").tolist()
        finally:
            client.close()

    encoding, mean = await asyncio.to_thread(call)

    assert encoding == response_encoding
    assert mean == [[9.0], [9.0]]


@pytest.mark.parametrize("algorithm", [None, "gzip", "deflate"])
async def test_grpc_messages_are_compressed_as_asked(server: RunningServer, algorithm: str | None) -> None:
    def call() -> list[list[float]]:
        with tritonclient.grpc.InferenceServerClient(server.grpc) as client:
            answer = client.infer("pets", [given(tritonclient.grpc)], compression_algorithm=algorithm)
            mean: list[list[float]] = answer.as_numpy("mean").tolist()
            return mean

    assert await asyncio.to_thread(call) == [[9.0], [9.0]]


@pytest.mark.parametrize("ask_in_json", [False, True])
async def test_json_in_and_binary_out_and_the_other_way_round(server: RunningServer, ask_in_json: bool) -> None:
    def call() -> Any:
        client = tritonclient.http.InferenceServerClient(server.http)
        try:
            wanted = [tritonclient.http.InferRequestedOutput("mean", binary_data=not ask_in_json)]
            return client.infer("pets", [given(tritonclient.http, binary=ask_in_json)], outputs=wanted)
        finally:
            client.close()

    answer = await asyncio.to_thread(call)

    assert answer.as_numpy("mean").tolist() == [[9.0], [9.0]]
    assert ("data" in answer.get_output("mean")) is ask_in_json


@pytest.mark.parametrize("module", [tritonclient.http, tritonclient.grpc])
async def test_blocking_clients_read_the_descriptions(server: RunningServer, module: Any) -> None:
    def call(ask: Callable[[Any], Any]) -> Any:
        client = module.InferenceServerClient(server.http if module is tritonclient.http else server.grpc)
        try:
            return ask(client)
        finally:
            client.close()

    assert await asyncio.to_thread(call, lambda client: client.is_server_ready())
    assert await asyncio.to_thread(call, lambda client: client.is_model_ready("pets", "1"))
    metadata = await asyncio.to_thread(call, lambda client: client.get_model_metadata("pets"))
    assert (metadata["name"] if isinstance(metadata, dict) else metadata.name) == "pets"
