"""Where the Open Inference Protocol branches off."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send


class ProtocolRoute:
    """`/v2` and what is under it goes to the protocol's app, everything else to `app`: a mount would answer a bare
    `/v2`, which is the protocol's server metadata, with a redirect."""

    def __init__(self, app: ASGIApp, protocol: ASGIApp) -> None:
        self._app = app
        self._protocol = protocol

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        chosen = self._protocol if path == "/v2" or path.startswith("/v2/") else self._app
        await chosen(scope, receive, send)
