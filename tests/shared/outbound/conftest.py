"""A client whose names lead to servers on loopback."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from services.shared.outbound.client import HttpcoreOutboundClient
from services.shared.outbound.settings import OutboundSettings
from tests.support.outbound_servers import LOOPBACK, RecordingServer, ScriptedResolver, WatchedNetwork

Connect = Callable[..., AbstractAsyncContextManager[HttpcoreOutboundClient]]

NAMES = ("images.test", "other.test")


@pytest.fixture
def connect() -> Connect:
    """`connect(server, …)`: a client that may call `images.test` and `other.test` on the ports of the servers, by http
    too. Both names are 127.0.0.1 unless `resolver` says otherwise; keywords that it does not know are settings.
    """

    @asynccontextmanager
    async def connected(
        *servers: RecordingServer,
        resolver: ScriptedResolver | None = None,
        network: WatchedNetwork | None = None,
        ssl_context: ssl.SSLContext | None = None,
        names: Iterable[str] = NAMES,
        **settings: object,
    ) -> AsyncIterator[HttpcoreOutboundClient]:
        hosts = tuple(f"{name}:{server.port}" for server in servers for name in names)
        chosen = {"allow_http": True, "allowed_private_networks": LOOPBACK, "allowed_hosts": hosts} | settings
        client = HttpcoreOutboundClient(
            OutboundSettings(**chosen),  # type: ignore[arg-type]
            resolver=resolver or ScriptedResolver({name: ["127.0.0.1"] for name in NAMES}),
            network=network,
            ssl_context=ssl_context,
        )
        try:
            yield client
        finally:
            await client.aclose()

    return connected
