"""Middleware that bounds what comes in: places for the work that counts, and small bodies for everything else."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.api.admission import Admission, Place
from services.api.refusal import refuse
from services.shared.asgi import BodyLimits, ClientGone, declared_length, header, read_body
from services.shared.errors import InvalidInput, Overloaded
from services.shared.priority import Priority, parse_priority

SMALL_BODY_BYTES = 1024 * 1024


class AdmissionGate:
    """A place for each inference, held from before its body is read until its answer is sent. A body that does not say
    how long it is is counted as it comes."""

    def __init__(self, app: ASGIApp, admission: Admission, *, max_body_bytes: int) -> None:
        self._app = app
        self._admission = admission
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST" or not _infers(scope["path"]):
            await self._app(scope, receive, send)
            return
        declared = declared_length(scope)
        size = min(declared or 0, self._max_body_bytes)
        try:
            place = self._admission.enter(size, _priority(scope))
        except Overloaded as error:
            await refuse(scope, error, send)
            return
        try:
            await self._app(scope, receive if declared is not None else _counted(receive, place), send)
        except Overloaded as error:
            await refuse(scope, error, send)
        finally:
            place.leave()


def _infers(path: str) -> bool:
    # The protocol's router takes a path with slashes behind it as well.
    return path.rstrip("/").endswith(("/predict", "/infer"))


def _counted(receive: Receive, place: Place) -> Receive:
    async def counting() -> Message:
        message = await receive()
        place.grow(len(message.get("body", b"")))
        return message

    return counting


def _priority(scope: Scope) -> Priority:
    given = header(scope, b"x-priority")
    try:
        return Priority.NORMAL if given is None else parse_priority(given.decode("latin-1"))
    except InvalidInput:
        return Priority.NORMAL  # the route refuses it, naming the header


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
