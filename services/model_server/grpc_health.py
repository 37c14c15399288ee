"""`grpc.health.v1.Health`: the same readiness as `/v2/health/ready`, for load balancers and Kubernetes' gRPC probes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

INFERENCE_SERVICE = "inference.GRPCInferenceService"
_SERVICES = ("", INFERENCE_SERVICE)
WATCH_PERIOD_S = 0.5


class GrpcHealthService(health_pb2_grpc.HealthServicer):  # type: ignore[misc] # generated, untyped
    """Answers for the whole server and for the inference service."""

    def __init__(self, is_ready: Callable[[], Awaitable[bool]], *, watch_period_s: float = WATCH_PERIOD_S) -> None:
        self._is_ready = is_ready
        self._watch_period_s = watch_period_s
        self._closed = asyncio.Event()

    async def Check(self, request: Any, context: Any) -> Any:  # noqa: N802 - named by the schema
        if request.service not in _SERVICES:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"unknown service {request.service[:128]!r}")
        return health_pb2.HealthCheckResponse(status=await self._status(request.service))

    async def Watch(self, request: Any, context: Any) -> None:  # noqa: N802
        """Tells the status now and at every change, until the client leaves or the server closes."""
        told = None
        while not self._closed.is_set():
            status = await self._status(request.service)
            if status != told:
                await context.write(health_pb2.HealthCheckResponse(status=status))
                told = status
            try:
                await asyncio.wait_for(self._closed.wait(), self._watch_period_s)
            except TimeoutError:
                continue

    def close(self) -> None:
        """Ends every Watch, which would otherwise hold up the server's stop."""
        self._closed.set()

    async def _status(self, service: str) -> Any:
        if service not in _SERVICES:
            return health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
        ready = await self._is_ready()
        return health_pb2.HealthCheckResponse.SERVING if ready else health_pb2.HealthCheckResponse.NOT_SERVING
