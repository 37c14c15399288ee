"""The outermost middleware: a request id, one answer for every error, one log line, a span where it is traced."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.api.problems import problem
from services.api.refusal import refuse
from services.api.request_records import CLIENT_GONE, RequestRecords, route_of
from services.shared.asgi import header
from services.shared.errors import InvalidInput, ServingError
from services.shared.tracing.request_tracing import RequestTracing

_log = logging.getLogger("grayscale.access")

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SHOWN_PATH = 1024  # characters of a path in the log


class RequestContext:
    """Plain ASGI. Sends the request's id back, and turns a ServingError that nobody answered into a problem.

    While `draining()` is true, answers ask the client to close its connection, so that none is cut while in use; so
    does an answer to a client that waits for leave to send its body: whether that still comes is anyone's guess, and
    the next request could be taken for it.

    Refuses control characters in a path. The router's patterns end in `$`, which also matches before a line end:
    `/v1/models/m/default%0A` would be the administrator's route to the router, and no known route to the key guard.
    """

    def __init__(
        self,
        app: ASGIApp,
        records: RequestRecords,
        *,
        draining: Callable[[], bool] = lambda: False,
        tracing: RequestTracing | None = None,
    ) -> None:
        self._app = app
        self._records = records
        self._draining = draining
        self._tracing = tracing or RequestTracing()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begin_s = self._records.begin(scope)
        span = self._tracing.begin(scope)
        request_id: str = scope["state"]["request_id"]
        status = 0
        waits = (header(scope, b"expect") or b"").lower() == b"100-continue"

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
            self._records.end(scope, status or CLIENT_GONE, begin_s)
            if span is not None:
                self._tracing.end(span, scope, route_of(scope), status or CLIENT_GONE)


async def send_problem(error: ServingError, request_id: str, send: Send) -> None:
    """Sends an error as the whole response."""
    answer = problem(error, request_id)
    await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
    await send({"type": "http.response.body", "body": answer.body})
