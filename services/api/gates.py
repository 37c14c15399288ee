"""Middleware that bounds what comes in: places for the work that counts, and small bodies for everything else."""

from __future__ import annotations

import math

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.api.admission import Admission, Place
from services.api.refusal import refuse
from services.shared.asgi import BodyLimits, ClientGone, exchange_of, header, read_body
from services.shared.errors import Overloaded
from services.shared.priority import Priority

SMALL_BODY_BYTES = 1024 * 1024


class AdmissionGate:
    """A place for each inference, held from before its body is read until its answer is sent. A body that does not say
    how long it is is counted as it comes.

    Requests count as alike when their paths are the same and their bodies are of about the same size: 64 large pictures
    in one request are not taken for a thumbnail. `default_timeout_s` is the deadline of a prediction that names none.
    """

    def __init__(
        self, app: ASGIApp, admission: Admission, *, max_body_bytes: int, default_timeout_s: float = math.inf
    ) -> None:
        self._app = app
        self._admission = admission
        self._max_body_bytes = max_body_bytes
        self._default_timeout_s = default_timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        # The protocol's router takes a path with slashes behind it as well.
        path = scope["path"].rstrip("/")
        if not path.endswith(("/predict", "/infer")):
            await self._app(scope, receive, send)
            return
        declared, priority, timeout_s = _terms(scope)
        if timeout_s is None:
            timeout_s = math.inf if path.startswith("/v2/") else self._default_timeout_s
        size = min(declared or 0, self._max_body_bytes)
        try:
            place = self._admission.enter(request_kind(path, size), size, priority, timeout_s)
        except Overloaded as error:
            await refuse(scope, error, send)
            return
        await self._serve(place, declared, scope, receive, send)

    async def _serve(self, place: Place, declared: int | None, scope: Scope, receive: Receive, send: Send) -> None:
        exchange, noted, worked = exchange_of(scope), None, False
        if declared is not None and exchange is not None and exchange.body_complete:
            place.begin()
        else:
            receive = _watched(receive, place, count=declared is None)
        if scope["path"].startswith("/v2/"):  # there errors are answered, and elsewhere raised
            send = noted = _NotedStatus(send)
        try:
            await self._app(scope, receive, send)
            worked = (exchange is None or not exchange.disconnected) and (noted is None or noted.status < 400)
        except Overloaded as error:
            await refuse(scope, error, send)
        finally:
            place.leave(worked=worked)


def request_kind(path: str, size_bytes: int) -> tuple[str, int]:
    """Requests that count as alike."""
    return path, size_bytes.bit_length() // 2


def _watched(receive: Receive, place: Place, *, count: bool) -> Receive:
    """Tells the place when the body has come, and, with `count`, of its bytes."""

    async def watching() -> Message:
        message = await receive()
        if count:
            place.grow(len(message.get("body", b"")))
        if not message.get("more_body", False):
            place.begin()
        return message

    return watching


class _NotedStatus:
    __slots__ = ("_send", "status")

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status = 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        await self._send(message)


_LENGTH, _PRIORITY, _TIMEOUT = b"content-length", b"x-priority", b"x-timeout-ms"
_TERMS = frozenset({_LENGTH, _PRIORITY, _TIMEOUT})
_PRIORITIES = {priority.name.lower().encode(): priority for priority in Priority}
_MAX_DIGITS = 63  # int() of thousands would raise


def _terms(scope: Scope) -> tuple[int | None, Priority, float | None]:
    """What a request's headers say of its body's length, its priority and its deadline, the first of
    each. What cannot be read counts as not said: the route refuses it, naming the header."""
    given: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        if name in _TERMS:
            given.setdefault(name, value)
    length, timeout_ms = _whole(given.get(_LENGTH)), _whole(given.get(_TIMEOUT))
    priority = _PRIORITIES.get(given.get(_PRIORITY, b"").lower(), Priority.NORMAL)
    return length, priority, None if timeout_ms is None else timeout_ms / 1000


def _whole(value: bytes | None) -> int | None:
    return int(value) if value is not None and value.isdigit() and len(value) <= _MAX_DIGITS else None


class SmallBodies:
    """What is behind this gets its whole body at once: at most SMALL_BODY_BYTES, and in time.

    Raises TooLarge or BodyTimeout before `app` is called: FastAPI would take them for a body that it cannot read.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._limits = BodyLimits(max_bytes=SMALL_BODY_BYTES, timeout_s=15.0, idle_s=5.0)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not _has_body(scope):
            await self._app(scope, receive, send)
            return
        try:
            body: bytes | None = await read_body(scope, receive, self._limits)
        except ClientGone:
            return

        async def whole() -> Message:
            nonlocal body
            if body is None:
                return await receive()
            message = {"type": "http.request", "body": body, "more_body": False}
            body = None
            return message

        await self._app(scope, whole, send)


def _has_body(scope: Scope) -> bool:
    return header(scope, b"transfer-encoding") is not None or (header(scope, b"content-length") or b"0") != b"0"
