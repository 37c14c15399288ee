"""`GET /metrics` on a port of its own, so that scraping needs no key and can be kept inside a network."""

from __future__ import annotations

from collections.abc import Callable

from services.shared.asgi import Answer, Receive, Scope, Send, send_answer
from services.shared.telemetry.exposition import CONTENT_TYPE


class MetricsApp:
    """A plain ASGI app; `render` gives Prometheus' text format."""

    def __init__(self, render: Callable[[], bytes]) -> None:
        self._render = render

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] != "/metrics":
            await send_answer(send, Answer(404))
        elif scope["method"] not in ("GET", "HEAD"):
            await send_answer(send, Answer(405, headers={"allow": "GET, HEAD"}))
        else:
            await send_answer(send, Answer(200, self._render(), {"content-type": CONTENT_TYPE}))
