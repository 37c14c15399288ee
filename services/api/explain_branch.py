"""Where requests to explain branch off."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send


class ExplainBranch:
    """`/v1/models/{model}/explain` goes to `explain`, which reads its body itself, everything else to `app`."""

    def __init__(self, app: ASGIApp, explain: ASGIApp) -> None:
        self._app = app
        self._explain = explain

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        explains = path.endswith("/explain") and path.startswith("/v1/models/") and path.count("/") == 4
        await (self._explain if explains else self._app)(scope, receive, send)
