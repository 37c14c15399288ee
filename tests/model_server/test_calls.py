"""Every call of the protocol is counted and leaves a line, over HTTP and gRPC alike."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
import httpx
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from services.model_server.calls import Calls
from services.model_server.listeners import Addresses, Listeners
from services.shared.errors import NotFound
from services.shared.inference.fake import FakeInference
from services.shared.model_ref import ModelRef
from services.shared.oip.handler import ProtocolHandler
from services.shared.telemetry.access_log import AccessLog
from tests.support.oip_server import ANY_PORT, MESSAGE_BYTES, identity

TENSOR = {"name": "x", "shape": [1, 1], "datatype": "FP32", "data": [5.0]}


class Lines(AccessLog):
    """Keeps what would be written."""

    def __init__(self) -> None:
        super().__init__("model-server")
        self.kept: list[dict[str, Any]] = []

    def write(self, fields: dict[str, Any]) -> None:
        self.kept.append(fields)


@pytest.fixture
def calls() -> Calls:
    return Calls(Lines())


@pytest.fixture
async def addresses(calls: Calls) -> AsyncIterator[Addresses]:
    models = FakeInference([identity("FP32")])

    async def resolve(name: str, version: int | None) -> ModelRef:
        if name not in models.models:
            raise NotFound(f"unknown model {name!r}")
        return ModelRef(name, version or 1)

    handler = ProtocolHandler(models, resolve=resolve, server_version="1.2.3")
    listeners = Listeners(handler, bytes, max_message_bytes=MESSAGE_BYTES, calls=calls)
    yield await listeners.start(ANY_PORT)
    await listeners.stop(1.0)


def lines(calls: Calls) -> list[dict[str, Any]]:
    assert isinstance(calls.log, Lines)
    return calls.log.kept


async def test_an_inference_over_http(addresses: Addresses, calls: Calls) -> None:
    url = f"http://127.0.0.1:{addresses.http}/v2/models/identity_fp32/infer"
    async with httpx.AsyncClient() as client:
        answer = await client.post(url, json={"id": "mine", "inputs": [TENSOR]}, headers={"x-request-id": "r-1"})
    assert (answer.status_code, answer.headers["x-request-id"]) == (200, "r-1")
    [line] = lines(calls)
    assert {name: line[name] for name in ("request_id", "method", "path", "status", "id", "model")} == {
        "request_id": "r-1",
        "method": "POST",
        "path": "/v2/models/identity_fp32/infer",
        "status": 200,
        "id": "mine",
        "model": "identity_fp32/1",
    }
    assert all(line[name] >= 0 for name in ("ms", "queue_ms", "infer_ms"))
    assert calls.http.counts() == {("/v2", 200, "identity_fp32"): 1}
    assert calls.http.in_flight == 0


@pytest.mark.parametrize(
    ("model", "tensor", "label"),
    [("nobody", TENSOR, ""), ("identity_fp32", {**TENSOR, "name": "y"}, "identity_fp32")],
)
async def test_only_a_model_that_there_is_becomes_a_label(
    addresses: Addresses, calls: Calls, model: str, tensor: dict[str, object], label: str
) -> None:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{addresses.http}") as client:
        answer = await client.post(f"/v2/models/{model}/infer", json={"inputs": [tensor]})
        assert (await client.get("/v2/health/ready")).status_code == 200
    assert answer.status_code == 400
    assert calls.http.counts() == {("/v2", 400, label): 1, ("/v2", 200, ""): 1}
    assert [line["status"] for line in lines(calls)] == [400]  # a probe leaves none


async def test_calls_over_grpc(addresses: Addresses, calls: Calls) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{addresses.grpc}") as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        request = service_pb2.ModelInferRequest(model_name="identity_fp32", id="mine")
        tensor = request.inputs.add(name="x", datatype="FP32", shape=[1, 1])
        tensor.contents.fp32_contents.append(5.0)
        await stub.ModelInfer(request, metadata=(("x-request-id", "r-1"),))
        tensor.name = "y"
        for name in ("identity_fp32", "nobody"):
            request.model_name = name
            with pytest.raises(grpc.aio.AioRpcError):
                await stub.ModelInfer(request)
        await stub.RepositoryModelUnload(service_pb2.RepositoryModelUnloadRequest(model_name="identity_fp32"))
        await stub.ServerReady(service_pb2.ServerReadyRequest())
    done, *others = lines(calls)
    assert {name: done[name] for name in ("request_id", "method", "code", "id", "model")} == {
        "request_id": "r-1",
        "method": "ModelInfer",
        "code": "OK",
        "id": "mine",
        "model": "identity_fp32/1",
    }
    assert all(done[name] >= 0 for name in ("ms", "queue_ms", "infer_ms"))
    assert [(line["method"], line["code"]) for line in others] == [
        ("ModelInfer", "INVALID_ARGUMENT"),
        ("ModelInfer", "NOT_FOUND"),
        ("RepositoryModelUnload", "OK"),
    ]
    shown = calls.render().decode()
    for line in (
        'grayscale_grpc_requests_total{code="OK",method="ModelInfer",model="identity_fp32"} 1.0',
        'grayscale_grpc_requests_total{code="INVALID_ARGUMENT",method="ModelInfer",model="identity_fp32"} 1.0',
        'grayscale_grpc_requests_total{code="NOT_FOUND",method="ModelInfer",model=""} 1.0',
        'grayscale_grpc_requests_total{code="OK",method="RepositoryModelUnload",model=""} 1.0',
        'grayscale_grpc_request_duration_seconds_count{method="ModelInfer",model="identity_fp32"} 2.0',
    ):
        assert line in shown.splitlines()
    assert "nobody" not in shown


async def test_a_call_that_its_client_gave_up_counts_as_such(addresses: Addresses, calls: Calls) -> None:
    call = calls.begin("ModelInfer", {})
    call.end(grpc.StatusCode.CANCELLED)
    assert calls.grpc.counts() == {("ModelInfer", 1, ""): 1}
    assert lines(calls)[0]["code"] == "CANCELLED"
