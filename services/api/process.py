"""One process of the API: serves the connections that its parent hands over."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
import socket
from pathlib import Path

from services.api import handover
from services.api.connection import ConnectionServer
from services.api.parts import ApiParts, build_parts
from services.api.settings import ApiSettings
from services.shared.release_memory import settle_garbage
from services.shared.telemetry.sum_over_processes import PUBLISH_S

_log = logging.getLogger(__name__)

_LINGER_S = 3.0  # idle connections are closed only after this: one in use gets `Connection: close` with its next answer
_GARBAGE_OBJECTS = 20_000  # at the usual pace the collector took 5 % of a small prediction
_READY_POLL_S = 0.02
_MODELS_FIRST_S = 1.0  # small models are loaded by then, and their first answer does not wait for other imports


class ApiProcess:
    """Runs until told to finish, or until its parent is gone.

    It serves as soon as the way to a prediction is there, completes itself once the models are loaded, or beside them
    when they take long, and is ready after that: a replacement is never slower than what it replaces.
    """

    def __init__(self, settings: ApiSettings, control: socket.socket) -> None:
        self._settings = settings
        self._control = control
        self._finish = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._outbox: list[bytes] = []
        self._status = 0

    async def run(self) -> int:
        """The exit status: 0 after everything accepted was answered, 1 when a part could not be made."""
        loop = asyncio.get_running_loop()
        parts = build_parts(self._settings, draining=self._finish.is_set)
        # SIGTERM is the parent's to act on: it says "finish" when the drain delay is over.
        loop.add_signal_handler(signal.SIGTERM, parts.serving.readiness.drain)
        loop.add_signal_handler(signal.SIGINT, parts.serving.readiness.drain)
        server = ConnectionServer(
            parts.app,
            finish_s=self._settings.finish_s,
            tls=_tls(self._settings),
            quick=parts.quick,
            refuse=parts.refuse,
        )
        await parts.serving.start()
        serving = asyncio.create_task(server.run_until_exit(), name="connections")
        while not server.started and not serving.done():
            await asyncio.sleep(0)
        loop.add_reader(self._control, self._receive, server)
        self._say(handover.SERVING)
        completing = asyncio.create_task(self._complete(parts), name="complete")
        completing.add_done_callback(self._end_if_incomplete)
        await self._finish.wait()
        parts.serving.readiness.drain()
        await self._drain(server)
        server.should_exit = True
        await serving
        completing.cancel()
        await asyncio.wait((completing,))
        if parts.shared_metrics:
            parts.shared_metrics.publish()
        await parts.close(self._settings.finish_s)
        return self._status

    async def _drain(self, server: ConnectionServer) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + _LINGER_S
        while (server.connections or self._tasks) and loop.time() < end:
            await asyncio.sleep(0.02)

    async def _complete(self, parts: ApiParts) -> None:
        """Makes what the first answers do without, publishes metrics from then on, and says when all is ready."""
        async with asyncio.TaskGroup() as tasks:
            answering = tasks.create_task(_models_answer(parts))
            await asyncio.wait((answering,), timeout=_MODELS_FIRST_S)
            await parts.complete()
            following = parts.following.made
            if following is not None:
                parts.serving.routing_revision = lambda: following.revision
                await following.start()
                tasks.create_task(following.run())
            gc.enable()  # it was off for all the imports (`__main__`)
            tasks.create_task(_publish_counts(parts))
            await answering
            settle_garbage(_GARBAGE_OBJECTS)
            self._say(handover.READY)

    def _end_if_incomplete(self, completing: asyncio.Task[None]) -> None:
        if not completing.cancelled() and (error := completing.exception()) is not None:
            _log.error("an API process cannot be completed and ends", exc_info=error)
            self._status = 1
            self._finish.set()

    def _receive(self, server: ConnectionServer) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                message, connection = handover.receive(self._control)
                if connection is not None:
                    task = asyncio.create_task(server.adopt(connection, lambda: self._say(handover.CLOSED)))
                    self._tasks.add(task)
                    task.add_done_callback(self._tasks.discard)
                elif message == handover.CONNECTION:  # its descriptor was dropped: this process has too many open files
                    self._say(handover.CLOSED)
                elif message in (b"", handover.FINISH):
                    asyncio.get_running_loop().remove_reader(self._control)
                    self._finish.set()
                    return

    def _say(self, message: bytes) -> None:
        """Queues what cannot be sent at once, so that the parent's count of connections stays exact."""
        self._outbox.append(message)
        try:
            while self._outbox:
                self._control.send(self._outbox[0])
                del self._outbox[0]
        except BlockingIOError:
            asyncio.get_running_loop().call_later(0.01, self._resend)
        except OSError:  # the parent is gone: `_receive` sees it too
            self._outbox.clear()

    def _resend(self) -> None:
        if self._outbox:
            self._say(self._outbox.pop())


def _tls(settings: ApiSettings) -> dict[str, Path] | None:
    if settings.tls_certificate is None or settings.tls_key is None:
        return None
    return {"ssl_certfile": settings.tls_certificate, "ssl_keyfile": settings.tls_key}


async def _models_answer(parts: ApiParts) -> None:
    while reasons := await parts.serving.readiness.reasons():
        _log.debug("not ready yet", extra={"reasons": reasons})
        await asyncio.sleep(_READY_POLL_S)


async def _publish_counts(parts: ApiParts) -> None:
    while True:
        if parts.shared_metrics:
            parts.shared_metrics.publish()
        parts.drift.publish()
        await asyncio.sleep(PUBLISH_S)
