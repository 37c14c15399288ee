"""One HTTP request over ASGI: its bounded body, its answer, and work that ends when the client leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from services.shared.errors import BodyTimeout, TooLarge

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]
T = TypeVar("T")

OFF_LOOP_BYTES = 256 * 1024  # about a millisecond of parsing or compressing: beyond it other requests would wait


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """`max_bytes` of one body (and of what it is decompressed to); `timeout_s` for the whole of it, and `idle_s`
    between two of its parts, so that a trickle cannot hold a place for long."""

    max_bytes: int = 64 * 1024 * 1024
    timeout_s: float = 60.0
    idle_s: float = 10.0


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole response."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


_FIELDS = "grayscale.fields"  # the key of a scope's headers by name, made when first asked for
EXCHANGE = "grayscale.exchange"  # the key of an Exchange among a scope's extensions


class Exchange(Protocol):
    """What our own HTTP server tells of a request beside ASGI, so that nobody must wait for what is there already.

    `body_complete`: the next `receive` gives the whole (rest of the) body at once. `on_disconnect` is called when the
    client leaves before its answer is complete, which `disconnected` tells from then on.
    """

    disconnected: bool
    on_disconnect: Callable[[], object] | None

    @property
    def body_complete(self) -> bool: ...


class ClientGone(Exception):
    """The client closed the connection before it was answered."""


def header(scope: Scope, name: bytes) -> bytes | None:
    """The first header of that lower-case name."""
    return headers_of(scope).get(name)


def headers_of(scope: Scope) -> Mapping[bytes, bytes]:
    """The first header of each name."""
    fields: Mapping[bytes, bytes] | None = scope.get(_FIELDS)
    if fields is None:  # of a dozen look-ups for a request, the first makes the table for all
        fields = scope[_FIELDS] = dict(reversed(scope["headers"]))
    return fields


def text_header(scope: Scope, name: str) -> str:
    """The same as text; empty when there is none."""
    return (header(scope, name.encode()) or b"").decode("latin-1")


def declared_length(scope: Scope) -> int | None:
    """What `Content-Length` says; None without one that can be read."""
    value = header(scope, b"content-length") or b""
    return int(value) if value.isdigit() and len(value) < 64 else None  # int() of thousands of digits would raise


def exchange_of(scope: Scope) -> Exchange | None:
    """What our own server tells of this request; None under another server."""
    extensions = scope.get("extensions")
    exchange: Exchange | None = extensions.get(EXCHANGE) if extensions else None
    return exchange


async def read_body(scope: Scope, receive: Receive, limits: BodyLimits) -> bytes:
    """The body as it came; raises TooLarge (from the header alone where it says so), BodyTimeout or ClientGone."""
    if (declared_length(scope) or 0) > limits.max_bytes:
        raise _too_large(limits)
    exchange = exchange_of(scope)
    if exchange is not None and exchange.body_complete:  # no timers for what is there
        return _body_of(await receive(), 0, limits)
    chunks: list[bytes] = []
    size, more = 0, True
    loop = asyncio.get_running_loop()
    end = loop.time() + limits.timeout_s
    try:
        async with asyncio.timeout(None) as bound:
            while more:
                bound.reschedule(min(end, loop.time() + limits.idle_s))
                message = await receive()
                chunks.append(_body_of(message, size, limits))
                size += len(chunks[-1])
                more = message.get("more_body", False)
    except TimeoutError:
        bounds = f"{limits.timeout_s:g} s, with no pause of {limits.idle_s:g} s"
        raise BodyTimeout(f"the body did not arrive within {bounds}") from None
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _body_of(message: Message, size_before: int, limits: BodyLimits) -> bytes:
    if message["type"] == "http.disconnect":
        raise ClientGone
    body: bytes = message.get("body", b"")
    if size_before + len(body) > limits.max_bytes:
        raise _too_large(limits)
    return body


def _too_large(limits: BodyLimits) -> TooLarge:
    return TooLarge(f"the body is larger than {limits.max_bytes} bytes: send less at once")


async def while_connected(scope: Scope, receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, which is cancelled when the client leaves (then ClientGone is raised).

    To be called when the whole body was read: what comes next from the client can only be its leaving.
    """
    exchange, task = exchange_of(scope), asyncio.current_task()
    if exchange is None or task is None:
        return await _while_connected(receive, work)
    has_left = exchange.disconnected
    if has_left:
        work.close()
        raise ClientGone
    exchange.on_disconnect = task.cancel
    try:
        return await work
    except asyncio.CancelledError:
        if not exchange.disconnected or task.uncancel() > 0:  # somebody else cancels it, or does so as well
            raise
        raise ClientGone from None
    finally:
        exchange.on_disconnect = None


async def _while_connected(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """The same by ASGI alone: two more tasks."""
    task = asyncio.create_task(work)
    watch = asyncio.create_task(_leaving(receive))
    try:
        await asyncio.wait({task, watch}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientGone
        return task.result()
    finally:
        task.cancel()
        watch.cancel()
        await asyncio.gather(task, watch, return_exceptions=True)


async def off_loop(size_bytes: int, work: Callable[[], T]) -> T:
    """Runs CPU work in a thread when its input is large enough to hold up other requests."""
    return await asyncio.to_thread(work) if size_bytes > OFF_LOOP_BYTES else work()


async def send_answer(send: Send, answer: Answer) -> None:
    headers = {"content-length": str(len(answer.body)), **answer.headers}
    await send(
        {
            "type": "http.response.start",
            "status": answer.status,
            "headers": [(key.encode(), value.encode("latin-1")) for key, value in headers.items()],
        }
    )
    await send({"type": "http.response.body", "body": answer.body})


async def _leaving(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
