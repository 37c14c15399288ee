"""`inference.GRPCInferenceService`: converts messages and delegates to the handler. It decides nothing."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeVar

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from services.model_server.calls import Call, Calls
from services.model_server.grpc_status import status_code_of
from services.shared.errors import ServingError, Unsupported
from services.shared.oip import grpc_wire
from services.shared.oip.handler import ProtocolHandler
from services.shared.oip.http_app import log_of

T = TypeVar("T")
Guard = Callable[[MutableMapping[str, Any]], Awaitable[None]]

logger = logging.getLogger(__name__)


class GrpcInferenceService(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc] # generated, untyped
    """The servicer. A client's cancel reaches the handler: grpc.aio cancels the coroutine that serves the call.

    `guard` is awaited before each repository call with the metadata as ASGI-like headers, and may raise
    Unauthenticated or Forbidden. `calls` keeps what is counted and logged.
    """

    def __init__(self, handler: ProtocolHandler, guard: Guard | None = None, calls: Calls | None = None) -> None:
        self._handler = handler
        self._guard = guard
        self._calls = calls or Calls()

    async def ServerLive(self, request: Any, context: Any) -> Any:  # noqa: N802 - named by the schema
        return service_pb2.ServerLiveResponse(live=not self._handler.exiting)

    async def ServerReady(self, request: Any, context: Any) -> Any:  # noqa: N802
        return service_pb2.ServerReadyResponse(ready=await self._handler.ready())

    async def ModelReady(self, request: Any, context: Any) -> Any:  # noqa: N802
        async def answer() -> Any:
            version = grpc_wire.version_of(request.version)
            return service_pb2.ModelReadyResponse(ready=await self._handler.model_ready(request.name, version))

        return await _answered(context, answer())

    async def ServerMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802
        server = self._handler.server_metadata()
        return service_pb2.ServerMetadataResponse(
            name=server.name, version=server.version, extensions=server.extensions
        )

    async def ModelMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802
        async def answer() -> Any:
            version = grpc_wire.version_of(request.version)
            return grpc_wire.encode_metadata(await self._handler.model_metadata(request.name, version))

        return await _answered(context, answer())

    async def ModelConfig(self, request: Any, context: Any) -> Any:  # noqa: N802
        async def answer() -> Any:
            version = grpc_wire.version_of(request.version)
            config = await self._handler.model_config(request.name, version)
            return service_pb2.ModelConfigResponse(config=config.message)

        return await _answered(context, answer())

    async def ModelStatistics(self, request: Any, context: Any) -> Any:  # noqa: N802
        async def answer() -> Any:
            version = grpc_wire.version_of(request.version)
            return grpc_wire.encode_statistics(await self._handler.statistics(request.name or None, version))

        return await _answered(context, answer())

    async def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802
        call = self._begin("ModelInfer", context)

        async def answer() -> Any:
            try:
                decoded = grpc_wire.decode_request(request)
                response = await self._handler.infer(decoded, timeout_s=context.time_remaining())
            except ServingError:
                call.model = await self._known(request)
                raise
            call.model, call.log = request.model_name, log_of(response)
            return grpc_wire.encode_response(response)

        return await _answered(context, answer(), call)

    async def RepositoryIndex(self, request: Any, context: Any) -> Any:  # noqa: N802
        async def answer() -> Any:
            await self._check(request, context)
            return grpc_wire.encode_index(await self._handler.index(ready_only=request.ready))

        return await _answered(context, answer(), self._begin("RepositoryIndex", context))

    async def RepositoryModelLoad(self, request: Any, context: Any) -> Any:  # noqa: N802
        async def answer() -> Any:
            await self._check(request, context)
            await self._handler.load(request.model_name, grpc_wire.parameters_of(request.parameters))
            return service_pb2.RepositoryModelLoadResponse()

        call = self._begin("RepositoryModelLoad", context)
        call.log = {"model": request.model_name[:128]}
        return await _answered(context, answer(), call)

    async def RepositoryModelUnload(self, request: Any, context: Any) -> Any:  # noqa: N802
        async def answer() -> Any:
            await self._check(request, context)
            await self._handler.unload(request.model_name, grpc_wire.parameters_of(request.parameters))
            return service_pb2.RepositoryModelUnloadResponse()

        call = self._begin("RepositoryModelUnload", context)
        call.log = {"model": request.model_name[:128]}
        return await _answered(context, answer(), call)

    async def ModelStreamInfer(self, request_iterator: Any, context: Any) -> Any:  # noqa: N802
        await _refuse(context, "streaming inference is not served here: send each request with ModelInfer")

    async def SystemSharedMemoryStatus(self, request: Any, context: Any) -> Any:  # noqa: N802
        await _refuse_shared_memory(context)

    async def SystemSharedMemoryRegister(self, request: Any, context: Any) -> Any:  # noqa: N802
        await _refuse_shared_memory(context)

    async def SystemSharedMemoryUnregister(self, request: Any, context: Any) -> Any:  # noqa: N802
        await _refuse_shared_memory(context)

    async def CudaSharedMemoryStatus(self, request: Any, context: Any) -> Any:  # noqa: N802
        await _refuse_shared_memory(context)

    async def CudaSharedMemoryRegister(self, request: Any, context: Any) -> Any:  # noqa: N802
        await _refuse_shared_memory(context)

    async def CudaSharedMemoryUnregister(self, request: Any, context: Any) -> Any:  # noqa: N802
        await _refuse_shared_memory(context)

    async def TraceSetting(self, request: Any, context: Any) -> Any:  # noqa: N802
        await _refuse(context, "trace settings are not served here: requests carry a traceparent instead")

    async def LogSettings(self, request: Any, context: Any) -> Any:  # noqa: N802
        await _refuse(context, "log settings cannot be changed while the server runs")

    def _begin(self, method: str, context: Any) -> Call:
        return self._calls.begin(method, dict(context.invocation_metadata() or ()))

    async def _known(self, request: Any) -> str:
        """The model that a request names, where there is one."""
        try:
            version = grpc_wire.version_of(request.model_version)
        except ServingError:
            return ""
        return str(request.model_name) if await self._handler.knows(request.model_name, version) else ""

    async def _check(self, request: Any, context: Any) -> None:
        if self._guard is not None:
            headers = [(key.encode(), _as_bytes(value)) for key, value in context.invocation_metadata() or ()]
            await self._guard({"type": "grpc", "headers": headers})
        if request.repository_name:
            raise Unsupported("there is only one repository: leave repository_name empty", field="repository_name")


async def _answered(context: Any, answer: Awaitable[T], call: Call | None = None) -> T:
    """The answer, or the call ended with the status of what went wrong."""
    code, detail = grpc.StatusCode.CANCELLED, ""
    try:
        answered = await answer
        code = grpc.StatusCode.OK
        return answered
    except ServingError as error:
        code, detail = status_code_of(error), error.detail
    except Exception:
        logger.exception("a gRPC call failed")
        code, detail = grpc.StatusCode.INTERNAL, "internal error"
    finally:
        if call is not None:
            call.end(code)
    await context.abort(code, detail)
    raise AssertionError("abort ends the call")


async def _refuse(context: Any, sentence: str) -> None:
    await context.abort(grpc.StatusCode.UNIMPLEMENTED, sentence)


async def _refuse_shared_memory(context: Any) -> None:
    await _refuse(context, "shared memory is not served here: send tensors in the request")


def _as_bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode()
