"""Saying no before a body is read: as a problem, or in the protocol's own form under `/v2`."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable

from starlette.types import Scope, Send
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from services.api.problems import problem
from services.shared.asgi import Answer, send_answer
from services.shared.errors import InvalidInput, ServingError
from services.shared.oip import json_document
from services.shared.oip.http_error import status_of
from services.shared.random_bytes import random_bytes

_log = logging.getLogger("grayscale.access")


def last_answer(status: int, detail: str, default_headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The bytes of an answer to what cannot be read as a request; the connection is closed after it."""
    request_id = random_bytes(16).hex()
    _log.info("a request could not be read", extra={"request_id": request_id, "status": status, "reason": detail})
    answer = problem(InvalidInput(detail), request_id, status=None if status == 400 else status)
    headers = [*default_headers, *answer.headers]
    headers += [(b"x-request-id", request_id.encode()), (b"connection", b"close")]
    lines = [name + b": " + value + b"\r\n" for name, value in headers]
    return b"".join((STATUS_LINE[status], *lines, b"\r\n", answer.body))


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
