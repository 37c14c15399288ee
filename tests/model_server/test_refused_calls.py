"""What the protocol has and this server does not says so."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
import tritonclient.grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.utils import InferenceServerException

from services.model_server.admin_guard import AdminGuard
from services.model_server.listeners import Listeners
from tests.support.oip_server import ANY_PORT, MESSAGE_BYTES, RunningServer


@pytest.fixture
async def stub(server: RunningServer) -> AsyncIterator[Any]:
    async with grpc.aio.insecure_channel(server.grpc) as channel:
        yield service_pb2_grpc.GRPCInferenceServiceStub(channel)


@pytest.mark.parametrize(
    ("method", "request_type"),
    [
        ("SystemSharedMemoryStatus", "SystemSharedMemoryStatusRequest"),
        ("SystemSharedMemoryRegister", "SystemSharedMemoryRegisterRequest"),
        ("SystemSharedMemoryUnregister", "SystemSharedMemoryUnregisterRequest"),
        ("CudaSharedMemoryStatus", "CudaSharedMemoryStatusRequest"),
        ("CudaSharedMemoryRegister", "CudaSharedMemoryRegisterRequest"),
        ("CudaSharedMemoryUnregister", "CudaSharedMemoryUnregisterRequest"),
        ("TraceSetting", "TraceSettingRequest"),
        ("LogSettings", "LogSettingsRequest"),
    ],
)
async def test_unserved_grpc_calls_say_so(stub: Any, method: str, request_type: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as said:
        await getattr(stub, method)(getattr(service_pb2, request_type)())

    assert said.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert len(said.value.details()) > 20


async def test_streams_are_refused(stub: Any) -> None:
    call = stub.ModelStreamInfer(iter([service_pb2.ModelInferRequest(model_name="pets")]))

    with pytest.raises(grpc.aio.AioRpcError, match="ModelInfer") as said:
        async for _ in call:
            pass

    assert said.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_repository_by_name_is_refused(stub: Any) -> None:
    with pytest.raises(grpc.aio.AioRpcError, match="only one repository") as said:
        await stub.RepositoryIndex(service_pb2.RepositoryIndexRequest(repository_name="other"))

    assert said.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_raw_and_typed_contents_do_not_mix(stub: Any) -> None:
    request = service_pb2.ModelInferRequest(model_name="identity_int32", raw_input_contents=[b"\x01\x00\x00\x00"])
    request.inputs.add(name="x", datatype="INT32", shape=[1, 1]).contents.int_contents.append(1)

    with pytest.raises(grpc.aio.AioRpcError, match="must not be specified") as said:
        await stub.ModelInfer(request)

    assert said.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_message_over_the_limit_is_refused(stub: Any) -> None:
    request = service_pb2.ModelInferRequest(model_name="pets", raw_input_contents=[bytes(MESSAGE_BYTES + 1)])

    with pytest.raises(grpc.aio.AioRpcError) as said:
        await stub.ModelInfer(request)

    assert said.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize(
    ("service", "status"),
    [("", "SERVING"), ("inference.GRPCInferenceService", "SERVING"), ("unknown", None)],
)
async def test_health_is_told_by_service(server: RunningServer, service: str, status: str | None) -> None:
    async with grpc.aio.insecure_channel(server.grpc) as channel:
        check = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=service))
        if status is None:
            with pytest.raises(grpc.aio.AioRpcError) as said:
                await check
            assert said.value.code() is grpc.StatusCode.NOT_FOUND
        else:
            assert (await check).status == health_pb2.HealthCheckResponse.ServingStatus.Value(status)


async def test_a_health_watch_hears_of_the_exit_and_ends_with_the_server(server: RunningServer) -> None:
    async with grpc.aio.insecure_channel(server.grpc) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING

        server.handler.exit()
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING

        await server.listeners.stop(30.0)
        assert await watch.read() is grpc.aio.EOF


async def test_a_repository_call_needs_the_admin_key_where_one_is_set(server: RunningServer) -> None:
    listeners = Listeners(server.handler, bytes, max_message_bytes=MESSAGE_BYTES, guard=AdminGuard("open sesame"))
    guarded = RunningServer(await listeners.start(ANY_PORT), server.models, server.handler, listeners)
    try:
        async with tritonclient.grpc.aio.InferenceServerClient(guarded.grpc) as client:
            assert await client.is_server_ready()
            for headers, code in (({}, "UNAUTHENTICATED"), ({"authorization": "Bearer x"}, "PERMISSION_DENIED")):
                with pytest.raises(InferenceServerException) as said:
                    await client.get_model_repository_index(headers=headers)
                assert said.value.status() == f"StatusCode.{code}"
            assert (await client.get_model_repository_index({"authorization": "Bearer open sesame"})).models
    finally:
        await listeners.stop(1.0)
