"""The three listeners of a model server: gRPC, HTTP and metrics, in one event loop."""

from __future__ import annotations

import asyncio
import contextlib
import math
import socket
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path

import grpc
import uvicorn
from grpc_health.v1 import health_pb2_grpc
from tritonclient.grpc import service_pb2_grpc

from services.model_server.calls import Calls, LoggedApp
from services.model_server.grpc_health import GrpcHealthService
from services.model_server.grpc_service import GrpcInferenceService, Guard
from services.model_server.metrics import MetricsApp
from services.shared.asgi import AsgiApp, BodyLimits
from services.shared.oip.handler import ProtocolHandler
from services.shared.oip.http_app import build_oip_app

_KEEP_ALIVE_S = 75  # longer than the idle time of usual client pools, so that they close a connection, not we


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where to listen; port 0 takes any free one."""

    host: str
    grpc: int
    http: int
    metrics: int


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """A certificate chain and its private key, PEM."""

    certificate: Path
    key: Path


class Listeners:
    """`start` binds every port or none; `stop` refuses new work at once and finishes what was accepted, bounded.

    gRPC and HTTP speak TLS where there are files for it; metrics never do.
    """

    def __init__(
        self,
        handler: ProtocolHandler,
        metrics: Callable[[], bytes],
        *,
        max_message_bytes: int,
        max_connection_age_s: float = 0.0,
        guard: Guard | None = None,
        tls: TlsFiles | None = None,
        calls: Calls | None = None,
    ) -> None:
        self._tls = tls
        calls = calls or Calls()
        self._health = GrpcHealthService(handler.ready)
        self._grpc = grpc.aio.server(options=_grpc_options(max_message_bytes, max_connection_age_s))
        service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(
            GrpcInferenceService(handler, guard, calls), self._grpc
        )
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._grpc)
        limits = BodyLimits(max_bytes=max_message_bytes)
        self._http = HttpListener(LoggedApp(build_oip_app(handler, limits=limits, guard=guard), calls), tls=tls)
        self._metrics = HttpListener(MetricsApp(metrics))

    async def start(self, wanted: Addresses) -> Addresses:
        """Listens, and gives the ports that were taken; raises OSError when one is not to be had."""
        with contextlib.ExitStack() as bound:
            http = bound.enter_context(_bind(wanted.host, wanted.http))
            metrics = bound.enter_context(_bind(wanted.host, wanted.metrics))
            grpc_port = self._bind_grpc(wanted.host, wanted.grpc)
            bound.pop_all()  # from here on the listeners own their sockets
        ports = Addresses(wanted.host, grpc_port, http.getsockname()[1], metrics.getsockname()[1])
        await self._grpc.start()
        await self._http.start(http)
        await self._metrics.start(metrics)
        return ports

    async def stop(self, finish_s: float) -> None:
        """The metrics listener goes last: the drain can be watched."""
        self._health.close()
        await asyncio.gather(self._grpc.stop(finish_s), self._http.stop(finish_s))
        await self._metrics.stop(1.0)

    def _bind_grpc(self, host: str, port: int) -> int:
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            if self._tls is None:
                taken: int = self._grpc.add_insecure_port(address)
            else:
                pair = (self._tls.key.read_bytes(), self._tls.certificate.read_bytes())
                taken = self._grpc.add_secure_port(address, grpc.ssl_server_credentials([pair]))
        except RuntimeError as error:
            raise OSError(f"cannot listen on {address} for gRPC: {error}") from error
        return taken


class HttpListener:
    """uvicorn in a running loop; whoever owns the process handles its signals."""

    def __init__(self, app: AsgiApp, *, tls: TlsFiles | None = None) -> None:
        self._app = app
        self._tls = tls
        self._server: _QuietServer | None = None
        self._serving: asyncio.Task[None] | None = None

    async def start(self, listening: socket.socket) -> None:
        config = uvicorn.Config(
            self._app,
            lifespan="off",
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=_KEEP_ALIVE_S,
            ssl_certfile=self._tls.certificate if self._tls else None,
            ssl_keyfile=self._tls.key if self._tls else None,
        )
        self._server = _QuietServer(config)
        self._serving = asyncio.create_task(self._server.serve(sockets=[listening]))
        while not self._server.started and not self._serving.done():
            await asyncio.sleep(0.005)  # uvicorn has no event for it; what follows is local and takes milliseconds
        if self._serving.done():
            await self._serving

    async def stop(self, finish_s: float) -> None:
        """Closes the socket and idle connections, waits up to `finish_s` for answers, then cancels."""
        if self._server is None or self._serving is None:
            return
        self._server.config.timeout_graceful_shutdown = math.ceil(finish_s)
        self._server.should_exit = True
        await self._serving


class _QuietServer(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


def _bind(host: str, port: int) -> socket.socket:
    """A listening socket; like gRPC's, it shares its port with no other process."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048, reuse_port=False)
    except OSError as error:
        raise OSError(error.errno, f"cannot listen on {host}:{port}: {error.strerror}") from error


def _grpc_options(max_message_bytes: int, max_connection_age_s: float) -> list[tuple[str, int]]:
    # A client asks for a name's addresses again when a connection ends, so a replica that was added is found then. The
    # server says goodbye and waits for the calls that run: no caller notices (grpc/proposal A9).
    age = [("grpc.max_connection_age_ms", round(1000 * max_connection_age_s))] if max_connection_age_s else []
    return [
        *age,
        ("grpc.so_reuseport", 0),  # two servers on one port would share its calls without anyone noticing
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.max_send_message_length", max_message_bytes),
        # A client's pings are welcome at any pace that keeps a connection alive through a balancer, also without calls.
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),
        ("grpc.http2.max_ping_strikes", 0),
    ]
