"""A model server from start to end."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable

import uvloop

from services.model_server.listeners import Addresses
from services.model_server.parts import ModelServerParts, build_parts
from services.model_server.settings import ModelServerSettings
from services.shared.tracing.base import FLUSH_S

Announce = Callable[[Addresses], None]

logger = logging.getLogger(__name__)


def run_model_server(settings: ModelServerSettings) -> int:
    """Serves until SIGTERM or SIGINT and gives the exit code: 0 after an orderly end, 1 when it could not start."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_run(settings))


async def serve(
    parts: ModelServerParts, settings: ModelServerSettings, stop: asyncio.Event, announce: Announce | None = None
) -> None:
    """Listens, loads, serves until `stop` is set, then ends in order and within bounds.

    Raises OSError when a port is not to be had. The ports open before models are loaded, so that a probe hears "not
    ready" instead of nothing.
    """
    wanted = Addresses(settings.host, settings.grpc_port, settings.http_port, settings.metrics_port)
    taken = await parts.listeners.start(wanted)
    try:
        _tell(taken, settings)
        if announce is not None:
            announce(taken)
        await parts.serving.start()
        await stop.wait()
        logger.info("the model server is draining")
        parts.handler.exit()
        parts.serving.readiness.drain()
        await asyncio.sleep(settings.drain_delay_s)
    finally:
        await parts.listeners.stop(settings.finish_s)
        await parts.serving.close(settings.finish_s)
        if parts.calls.log is not None:
            parts.calls.log.flush()
        if parts.calls.tracing.sink is not None:
            await asyncio.to_thread(parts.calls.tracing.sink.close, FLUSH_S)


async def _run(settings: ModelServerSettings) -> int:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        await serve(build_parts(settings), settings, stop)
    except OSError as error:
        logger.error("the model server cannot start: %s", error.strerror or error)
        return 1
    logger.info("the model server has ended")
    return 0


def _tell(taken: Addresses, settings: ModelServerSettings) -> None:
    ports = {"host": taken.host, "grpc_port": taken.grpc, "http_port": taken.http, "metrics_port": taken.metrics}
    logger.info("the model server is listening", extra=ports)
