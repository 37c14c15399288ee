"""Where the submission of jobs branches off."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send


class JobBranch:
    """`/v1/models/{model}/jobs` goes to `submit`, which reads its body itself, everything else to `app`."""

    def __init__(self, app: ASGIApp, submit: ASGIApp) -> None:
        self._app = app
        self._submit = submit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        submits = path.endswith("/jobs") and path.startswith("/v1/models/") and path.count("/") == 4
        await (self._submit if submits else self._app)(scope, receive, send)
