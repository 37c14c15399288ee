"""The pages' server from its start to its end."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable
from pathlib import Path

from services.shared.health_server import HealthServer, listen
from services.web.parts import build_parts
from services.web.settings import PORT, WebSettings

_log = logging.getLogger(__name__)


async def _run(settings: WebSettings, announce: Callable[[str], object]) -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    listening = listen(settings.host, settings.port, PORT)
    host, port = listening.getsockname()[:2]
    parts = build_parts(settings)
    server = HealthServer(parts.app, finish_s=settings.finish_s, tls=_tls(settings))
    await server.start(listening)
    scheme = "https" if settings.tls_certificate else "http"
    _log.info("the pages are served", extra={"host": host, "port": port, "api": settings.api_url})
    announce(f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}")
    await stop.wait()
    parts.ending.set()
    await asyncio.sleep(settings.drain_delay_s)
    await server.stop()
    await parts.forwarder.close()
    if parts.access_log is not None:
        parts.access_log.flush()


def _tls(settings: WebSettings) -> tuple[Path, Path] | None:
    if settings.tls_certificate is None or settings.tls_key is None:
        return None
    return settings.tls_certificate, settings.tls_key


def run_web(settings: WebSettings, announce: Callable[[str], object] = lambda url: None) -> int:
    """Runs until a signal ends it; the exit status. `announce` is called with the address when it listens. Raises
    OSError when the port is not to be had."""
    asyncio.run(_run(settings, announce))
    return 0
