"""Saying no before a body is read: as a problem, or in the protocol's own form under `/v2`."""

from __future__ import annotations

import math

from starlette.types import Scope, Send

from services.shared.asgi import Answer, send_answer
from services.shared.errors import ServingError
from services.shared.oip import json_document
from services.shared.oip.http_error import status_of


async def refuse(scope: Scope, error: ServingError, send: Send) -> None:
    """Answers with the error where clients of the protocol ask; elsewhere raises it, for the request context."""
    if not scope["path"].startswith("/v2/"):
        raise error
    headers = {"content-type": "application/json"}
    if error.retry_after_s is not None:
        headers["retry-after"] = str(max(1, math.ceil(error.retry_after_s)))
    status = status_of(error)
    if status == 401:
        headers["www-authenticate"] = "Bearer"
    await send_answer(send, Answer(status, json_document.write({"error": error.detail}), headers))
