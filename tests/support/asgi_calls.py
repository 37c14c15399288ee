"""Calling an ASGI application without a server: a scope, a body, and what is sent."""

from __future__ import annotations

from collections.abc import Iterable

from starlette.types import Message, Receive, Scope

GONE: Message = {"type": "http.disconnect"}


def scope(
    path: str = "/v1/models/m/predict", method: str = "POST", kind: str = "http", **headers: bytes | None
) -> Scope:
    given = [(name.replace("_", "-").encode(), value) for name, value in headers.items() if value is not None]
    return {"type": kind, "method": method, "path": path, "headers": given}


def part(body: bytes, more: bool = False) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


def receiving(messages: Iterable[Message]) -> Receive:
    left = iter([*messages, GONE])

    async def receive() -> Message:
        return next(left)

    return receive


class Sent(list[Message]):
    """What a client gets."""

    async def __call__(self, message: Message) -> None:
        self.append(message)

    @property
    def status(self) -> int:
        return int(self[0]["status"])

    @property
    def headers(self) -> dict[bytes, bytes]:
        return dict(self[0]["headers"])
