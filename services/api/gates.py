"""Middleware that bounds what comes in: places for the work that counts, and small bodies for everything else."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.api.admission import Admission, Place
from services.api.refusal import refuse
from services.shared.asgi import declared_length, header
from services.shared.errors import InvalidInput, Overloaded, TooLarge
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
        if scope["type"] != "http" or scope["method"] != "POST" or not scope["path"].endswith(("/predict", "/infer")):
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
    """Everything behind this takes at most SMALL_BODY_BYTES; raises TooLarge."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        too_large = TooLarge(f"the body is larger than {SMALL_BODY_BYTES} bytes")
        if (declared_length(scope) or 0) > SMALL_BODY_BYTES:
            raise too_large
        size = 0

        async def bounded() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > SMALL_BODY_BYTES:
                raise too_large
            return message

        await self._app(scope, bounded, send)
