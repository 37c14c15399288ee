"""The outermost middleware: a request id, one answer for every error, one log line."""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Callable
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.api.problems import problem
from services.api.refusal import refuse
from services.shared.asgi import header
from services.shared.errors import InvalidInput, ServingError
from services.shared.telemetry.http_requests import HttpRequests

_log = logging.getLogger("grayscale.access")

_PROBES = ("/healthz/", "/metrics")
_CLIENT_GONE = 499  # the client went away before there was an answer
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SHOWN_PATH = 1024  # characters of a path in the log


class RequestContext:
    """Plain ASGI. Puts the request id into `scope["state"]["request_id"]` (the client's, if it is 1 to 128 letters,
    digits, `.`, `_`, `:` or `-`), sends it back, and turns a ServingError that nobody answered into a problem.

    While `draining()` is true, answers ask the client to close its connection, so that none is cut while in use; so
    does an answer to a client that waits for leave to send its body: whether that still comes is anyone's guess, and
    the next request could be taken for it.

    Refuses control characters in a path. The router's patterns end in `$`, which also matches before a line end:
    `/v1/models/m/default%0A` would be the administrator's route to the router, and no known route to the key guard.
    """

    def __init__(self, app: ASGIApp, requests: HttpRequests, *, draining: Callable[[], bool] = lambda: False) -> None:
        self._app = app
        self._requests = requests
        self._draining = draining

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begin = time.perf_counter()
        given = header(scope, b"x-request-id")
        request_id = given.decode() if given and _REQUEST_ID.fullmatch(given) else os.urandom(16).hex()
        state: dict[str, Any] = scope.setdefault("state", {})
        state["request_id"] = request_id
        status = 0
        waits = (header(scope, b"expect") or b"").lower() == b"100-continue"
        self._requests.in_flight += 1

        async def receive_body() -> Message:
            nonlocal waits
            waits = False
            return await receive()

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                extra = [(b"x-request-id", request_id.encode())]
                if waits or self._draining():
                    extra.append((b"connection", b"close"))
                message["headers"] = [*message.get("headers", ()), *extra]
            await send(message)

        try:
            if _CONTROL.search(scope["path"]):
                await refuse(scope, InvalidInput("the path holds a control character"), send_with_id)
            else:
                await self._app(scope, receive_body, send_with_id)
        except ServingError as error:
            if status:
                raise
            await send_problem(error, request_id, send_with_id)
        except Exception:
            _log.exception(
                "a request failed unexpectedly", extra={"request_id": request_id, "path": scope["path"][:_SHOWN_PATH]}
            )
            if status:
                raise
            await send_problem(
                ServingError("the server made a mistake; its log has the reason"), request_id, send_with_id
            )
        finally:
            seconds = time.perf_counter() - begin
            self._requests.in_flight -= 1
            self._requests.observe(_route_of(scope), status or _CLIENT_GONE, seconds)
            _write_line(scope, status or _CLIENT_GONE, seconds)


def _write_line(scope: Scope, status: int, seconds: float) -> None:
    # Probes come every second or more often: a line for each would bury the rest.
    level = logging.DEBUG if scope["path"].startswith(_PROBES) else logging.INFO
    if not _log.isEnabledFor(level):
        return
    state = scope["state"]
    fields = {
        "request_id": state["request_id"],
        "method": scope["method"],
        "path": scope["path"][:_SHOWN_PATH],
        "status": status,
        "ms": round(1000 * seconds, 3),
        **state.get("log", {}),
    }
    _log.log(level, "request", extra=fields)


def _route_of(scope: Scope) -> str:
    """A word for the metrics: what the hot route says, the template that FastAPI matched, `/v2`, or `other`."""
    said: str | None = scope["state"].get("route")
    if said is not None:
        return said
    if scope["path"].startswith("/v2"):
        return "/v2"
    return str(getattr(scope.get("route"), "path", "other"))


async def send_problem(error: ServingError, request_id: str, send: Send) -> None:
    """Sends an error as the whole response."""
    answer = problem(error, request_id)
    await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
    await send({"type": "http.response.body", "body": answer.body})
