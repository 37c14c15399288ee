"""`GET /metrics` on a port of its own, so that scraping needs no key and can be kept inside a network."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from services.shared.asgi import Answer, Receive, Scope, Send, send_answer
from services.shared.model_ref import ModelRef
from services.shared.telemetry.base import ModelMetrics
from services.shared.telemetry.process_memory import render_memory
from services.shared.telemetry.prometheus import CONTENT_TYPE, render


class MetricsApp:
    """A plain ASGI app."""

    def __init__(self, models: Callable[[], Mapping[ModelRef, ModelMetrics]]) -> None:
        self._models = models

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] != "/metrics":
            await send_answer(send, Answer(404))
        elif scope["method"] not in ("GET", "HEAD"):
            await send_answer(send, Answer(405, headers={"allow": "GET, HEAD"}))
        else:
            text = render(self._models()) + render_memory([os.getpid()]).encode()
            await send_answer(send, Answer(200, text, {"content-type": CONTENT_TYPE}))
