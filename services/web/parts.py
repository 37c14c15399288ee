"""Everything of the pages' server, wired in one place."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from services.shared.health_server import HealthApp
from services.shared.telemetry.access_log import AccessLog
from services.shared.telemetry.host_metrics import HostMetrics
from services.web.app import WebApp
from services.web.counters import WebCounters
from services.web.forward import Forwarder
from services.web.page_files import read_pages
from services.web.settings import WebSettings


@dataclass(frozen=True, slots=True)
class WebParts:
    """`ending` is set when the server is told to end: it is not ready from then on, and endless streams stop."""

    app: WebApp
    forwarder: Forwarder
    ending: asyncio.Event
    access_log: AccessLog | None


def build_parts(settings: WebSettings) -> WebParts:
    """To be called in the loop that will work."""
    ending, counters, host = asyncio.Event(), WebCounters(), HostMetrics(certificate=settings.tls_certificate)
    forwarder = Forwarder(settings.api_url, settings.api_ca, ending, name=settings.api_name)
    access_log = AccessLog("web") if settings.access_log else None
    # The pages are of use while the API is away: they say so. Without them a visitor would see nothing at all.
    probes = HealthApp(
        lambda: ["this server is about to end"] if ending.is_set() else [], lambda: counters.render() + host()
    )
    app = WebApp(
        read_pages(),
        forwarder,
        probes,
        counters,
        max_bytes=settings.max_bytes,
        idle_s=settings.idle_s,
        access_log=access_log,
        ending=ending,
    )
    return WebParts(app, forwarder, ending, access_log)
