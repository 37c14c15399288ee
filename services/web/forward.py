"""Passing requests on to the API and its answers back, a part at a time, with nothing held in memory as a whole."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from services.shared.asgi import ClientGone, Message, Receive, Scope, Send, declared_length, header
from services.shared.settings import is_loopback
from services.web.response_headers import answer_headers, request_headers

_CONNECT_S = 3.0
# The API's own longest deadline is ten minutes, and streams send something every few seconds.
_TIMEOUT = httpx.Timeout(630.0, connect=_CONNECT_S, write=60.0, pool=_CONNECT_S)
_MOST_CONNECTIONS = 512
_DISCARD_S = 10.0


class Refused(Exception):
    """The API did not answer this request. `reason` is one of counters.FAILURES."""

    def __init__(self, status: int, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.status, self.reason, self.detail = status, reason, detail


class RequestBody:
    """The body of a request as it comes in. Raises ClientGone, or Refused for one that is too long or stops."""

    def __init__(self, receive: Receive, *, expected: bool, max_bytes: int, idle_s: float) -> None:
        self._receive = receive
        self._max_bytes, self._idle_s = max_bytes, idle_s
        self._received = 0
        self.complete = asyncio.Event()
        self.gone = False
        self.expected = expected
        if not expected:
            self.complete.set()

    async def parts(self) -> AsyncIterator[bytes]:
        while not self.complete.is_set():
            try:
                async with asyncio.timeout(self._idle_s):
                    message = await self._receive()
            except TimeoutError:
                detail = f"the body stopped for {self._idle_s:g} s"
                raise Refused(408, "slow_body", detail) from None
            if message["type"] == "http.disconnect":
                self.gone = True
                raise ClientGone
            part: bytes = message.get("body", b"")
            self._received += len(part)
            if self._received > self._max_bytes:
                raise Refused(413, "too_large", f"the body is larger than {self._max_bytes} bytes: send less at once")
            if not message.get("more_body", False):
                self.complete.set()
            if part:
                yield part

    async def left(self) -> None:
        """Returns when the client goes away; it is looked at when the body has come."""
        await self.complete.wait()
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.gone = True

    async def before_end(self, message: Message, send: Send) -> None:
        """Sends a part of an answer; before the last one it reads what is left of the body, for a while. The server
        closes such a connection with the answer's end, and a client that still sends would see a reset and no answer
        (RFC 9112, 9.6)."""
        is_last = message["type"] == "http.response.body" and not message.get("more_body", False)
        if is_last and not (self.complete.is_set() or self.gone):
            await send({**message, "more_body": True})
            await self._discard()
            message = {"type": "http.response.body", "body": b""}
        await send(message)

    async def _discard(self) -> None:
        try:
            async with asyncio.timeout(_DISCARD_S):
                while not (self.complete.is_set() or self.gone):
                    message = await self._receive()
                    self.gone = message["type"] == "http.disconnect"
                    if not message.get("more_body", False):
                        self.complete.set()
        except TimeoutError:
            return


class Forwarder:
    """The way to one API. `ending` is set when this server is about to stop: streams without an end stop then."""

    def __init__(self, api_url: str, ca: Path | None, ending: asyncio.Event, *, name: str = "") -> None:
        """`name` is the one in the API's certificate, where that is not the address's."""
        self._url = httpx.URL(api_url)
        self._extensions = {"timeout": _TIMEOUT.as_dict(), **({"sni_hostname": name} if name else {})}
        self._host = urlsplit(api_url).netloc.encode()
        self._ending = ending
        # The transport and not a client: that would follow, decompress, and keep the cookies of all visitors.
        self._http = httpx.AsyncHTTPTransport(
            verify=_trusting(ca, self._url.host) if ca else True,
            trust_env=False,
            limits=httpx.Limits(max_connections=_MOST_CONNECTIONS, max_keepalive_connections=32, keepalive_expiry=4.0),
        )

    async def close(self) -> None:
        await self._http.aclose()

    async def forward(self, scope: Scope, target: bytes, body: RequestBody, request_id: str, send: Send) -> None:
        """Sends the request on to `target` (path and query, as they came) and its answer to `send`; the API's work is
        cancelled when the client leaves. Raises Refused before an answer began, ClientGone, or ConnectionError when an
        answer breaks off."""
        work = asyncio.create_task(self._exchange(scope, target, body, request_id, send))
        watch = asyncio.create_task(body.left())
        try:
            await asyncio.wait({work, watch}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                raise ClientGone
            work.result()
        finally:
            work.cancel()
            watch.cancel()
            await asyncio.gather(work, watch, return_exceptions=True)

    async def _exchange(self, scope: Scope, target: bytes, body: RequestBody, request_id: str, send: Send) -> None:
        client = scope["client"][0] if scope.get("client") else "unknown"
        headers = request_headers(
            scope["headers"], client=client, scheme=scope["scheme"], host=self._host, request_id=request_id
        )
        request = httpx.Request(
            scope["method"],
            self._url,
            headers=headers,
            content=body.parts() if body.expected else None,
            extensions={**self._extensions, "target": target},
        )
        answer = await self._send(request)
        try:
            await self._answer(answer, request_id, send)
        finally:
            await answer.aclose()

    async def _send(self, request: httpx.Request) -> httpx.Response:
        try:
            return await self._http.handle_async_request(request)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise Refused(502, "away", "the API cannot be reached: it is down, or still starting") from error
        except httpx.PoolTimeout as error:
            raise Refused(503, "away", "too many requests are on their way to the API") from error
        except httpx.TimeoutException as error:
            raise Refused(504, "silent", "the API did not answer in time") from error
        except httpx.LocalProtocolError as error:
            raise Refused(400, "invalid", "the request cannot be understood: its path or a header") from error
        except httpx.HTTPError as error:
            raise Refused(502, "broken", "the API broke the connection off before it answered") from error

    async def _answer(self, answer: httpx.Response, request_id: str, send: Send) -> None:
        headers = answer_headers(answer.headers.raw, request_id=request_id)
        await send({"type": "http.response.start", "status": answer.status_code, "headers": headers})
        try:
            async with aclosing(self._parts(answer)) as parts:
                async for part in parts:
                    await send({"type": "http.response.body", "body": part, "more_body": True})
        except httpx.HTTPError as error:
            raise ConnectionError("the API broke its answer off") from error
        await send({"type": "http.response.body", "body": b""})

    async def _parts(self, answer: httpx.Response) -> AsyncGenerator[bytes, None]:
        """As they come; of an endless stream until this server ends, when a browser is to connect anew."""
        if not answer.headers.get("content-type", "").startswith("text/event-stream"):
            async for part in answer.aiter_raw():
                yield part
            return
        ending, stream = asyncio.create_task(self._ending.wait()), answer.aiter_raw()
        try:
            while not ending.done():
                next_part = asyncio.create_task(_next(stream))
                await asyncio.wait({next_part, ending}, return_when=asyncio.FIRST_COMPLETED)
                if not next_part.done() or not next_part.result():
                    return
                yield next_part.result()
        finally:
            ending.cancel()
            next_part.cancel()
            await asyncio.gather(ending, next_part, return_exceptions=True)


async def _next(parts: AsyncIterator[bytes]) -> bytes:
    """Empty at the end."""
    async for part in parts:
        return part
    return b""


def _trusting(ca: Path, host: str) -> ssl.SSLContext:
    """Trusts these certificates alone. On this machine the name in the API's is not looked at: it is the public's."""
    context = ssl.create_default_context(cafile=str(ca))
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # the file may be the API's own certificate
    context.check_hostname = not is_loopback(host)
    return context


def has_body(scope: Scope) -> bool:
    """Whether a request brings one (RFC 9112, 6.3)."""
    return header(scope, b"transfer-encoding") is not None or bool(declared_length(scope))
