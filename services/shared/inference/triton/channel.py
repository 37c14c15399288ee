"""A gRPC channel to an inference server: how it connects, keeps alive, recovers and fails."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio
from tritonclient.grpc import service_pb2, service_pb2_grpc

from services.shared.errors import DeadlineExceeded, NotReady
from services.shared.inference.triton.error import serving_error
from services.shared.tracing.base import TraceContext
from services.shared.tracing.traceparent import trace_headers

MAX_MESSAGE_BYTES = 256 * 2**20
_MODEL_INFER = f"/{service_pb2.DESCRIPTOR.services_by_name['GRPCInferenceService'].full_name}/ModelInfer"


@dataclass(frozen=True, slots=True)
class Tls:
    """PEM texts; `root_certificates: None` means those of the machine, a key and chain are for mutual TLS.

    `server_name` is what the certificate must be for, where the address says something else.
    """

    root_certificates: bytes | None = None
    private_key: bytes | None = None
    certificate_chain: bytes | None = None
    server_name: str | None = None


def channel_options(max_message_bytes: int = MAX_MESSAGE_BYTES, tls: Tls | None = None) -> list[tuple[str, Any]]:
    """Options for a channel that spreads its calls over every address, fails at once while the server is away and is
    back within about a second of it. Sources: grpc `grpc_types.h`, `doc/keepalive.md`, `doc/service_config.md`."""
    options: list[tuple[str, Any]] = [
        ("grpc.max_send_message_length", max_message_bytes),
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.service_config", json.dumps({"loadBalancingConfig": [{"round_robin": {}}]})),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 1000),
        ("grpc.min_reconnect_backoff_ms", 2000),  # in gRPC's core this bounds one attempt to connect
        ("grpc.dns_min_time_between_resolutions_ms", 2000),  # the default of 30 s would miss a replaced replica
        # A server closes a connection that pings too often without data (Triton: three times within 5 minutes); gRPC
        # sends two such pings and then one a minute, so a call that takes long is safe.
        ("grpc.keepalive_time_ms", 20_000),
        ("grpc.keepalive_timeout_ms", 5_000),
        ("grpc.use_local_subchannel_pool", 1),  # a new client starts without another one's backoff
    ]
    if tls is not None and tls.server_name is not None:
        options.append(("grpc.ssl_target_name_override", tls.server_name))
    return options


class TritonChannel:
    """Connects at the first call and by itself again after a loss; raises only ServingError (and CancelledError).

    `untraced` is the place in a trace of calls that belong to nobody's: with one that is not sampled the server begins
    no trace of its own for them.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        tls: Tls | None = None,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
        untraced: TraceContext | None = None,
    ) -> None:
        self._url = url
        self._credentials: tuple[tuple[str, str], ...] = (("authorization", f"Bearer {api_key}"),) if api_key else ()
        self._metadata = (*self._credentials, *(trace_headers(untraced) if untraced else ())) or None
        self._tls = tls
        self._max_message_bytes = max_message_bytes
        self._channel: Any = None
        self._stub: Any = None
        self._infer: Any = None
        self._closed = False

    @property
    def stub(self) -> Any:
        """The generated stub, whose methods go to `call`."""
        self._open()
        return self._stub

    async def infer(self, request: bytes, *, timeout_s: float | None, trace: TraceContext | None = None) -> Any:
        """ModelInfer with a request that is serialised already; gives the ModelInferResponse. What a server cancels
        while it stops is sent once more, to who has taken its place: a run that began changed nothing."""
        self._open()
        begun_s = time.monotonic()
        try:
            return await self.call(self._infer, request, timeout_s=timeout_s, trace=trace)
        except NotReady as error:
            if not _was_cancelled_there(error):
                raise
            left_s = None if timeout_s is None else timeout_s - (time.monotonic() - begun_s)
            return await self.call(self._infer, request, timeout_s=left_s, trace=trace)

    async def call(
        self,
        method: Callable[..., Awaitable[Any]],
        request: object,
        *,
        timeout_s: float | None,
        trace: TraceContext | None = None,
    ) -> Any:
        """One call with its deadline on the wire; a cancelled caller cancels it there."""
        if timeout_s is not None and timeout_s <= 0:
            raise DeadlineExceeded("the time for an answer was over before the call")
        metadata = self._metadata if trace is None else (*self._credentials, *trace_headers(trace))
        try:
            return await method(request, timeout=timeout_s, metadata=metadata)
        except grpc.aio.AioRpcError as error:
            raise serving_error(error.code(), error.details() or "") from error
        except grpc.aio.UsageError as error:
            raise NotReady("the client is closed") from error
        except asyncio.CancelledError:
            if self._closed and not _caller_is_cancelled():  # gRPC cancels what runs when a channel closes
                raise NotReady("the client was closed during the call") from None
            raise

    async def close(self) -> None:
        self._closed = True
        if self._channel is not None:
            await self._channel.close()

    def _open(self) -> None:
        # Not in the constructor: gRPC binds a channel to the event loop that runs when it is made.
        if self._closed:
            raise NotReady("the client is closed")
        if self._channel is not None:
            return
        options = channel_options(self._max_message_bytes, self._tls)
        if self._tls is None:
            self._channel = grpc.aio.insecure_channel(self._url, options=options)
        else:
            credentials = grpc.ssl_channel_credentials(
                self._tls.root_certificates, self._tls.private_key, self._tls.certificate_chain
            )
            self._channel = grpc.aio.secure_channel(self._url, credentials, options=options)
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)
        self._infer = self._channel.unary_unary(
            _MODEL_INFER,
            request_serializer=None,
            response_deserializer=service_pb2.ModelInferResponse.FromString,
        )


def _was_cancelled_there(error: NotReady) -> bool:
    """gRPC's servers do so with what reaches them while they stop, before any of their code sees it."""
    cause = error.__cause__
    return isinstance(cause, grpc.aio.AioRpcError) and cause.code() is grpc.StatusCode.CANCELLED


def _caller_is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
