"""The protocol over HTTP: a plain ASGI app for every path under `/v2`. It converts and delegates."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import Awaitable, Callable
from typing import Any

from services.shared.asgi import (
    OFF_LOOP_BYTES,
    Answer,
    BodyLimits,
    ClientGone,
    Receive,
    Scope,
    Send,
    off_loop,
    read_body,
    send_answer,
    text_header,
    while_connected,
)
from services.shared.config_pbtxt import config_to_json
from services.shared.errors import NotFound, ServingError, Unsupported
from services.shared.oip import http_document, http_wire, json_document
from services.shared.oip.base import InferRequest, InferResponse, ReleaseTerms
from services.shared.oip.compression import accepted_encoding, compress, decompress
from services.shared.oip.handler import ProtocolHandler
from services.shared.oip.http_error import status_of
from services.shared.oip.http_route import Operation, Route, match_route

Guard = Callable[[Scope], Awaitable[None]]
Terms = Callable[[Scope], ReleaseTerms]
_JSON = {"content-type": "application/json"}
_LARGE_AT_ONCE = 2  # a body's JSON takes up to sixteen times its size while it is read, a gzip bomb far more

logger = logging.getLogger(__name__)


def build_oip_app(
    handler: ProtocolHandler,
    *,
    limits: BodyLimits | None = None,
    guard: Guard | None = None,
    terms: Terms | None = None,
) -> OipApp:
    """The app; `guard` is awaited before an administrator's operation and may raise Unauthenticated or Forbidden.

    `terms` reads what an inference's headers say about releases, and may raise InvalidInput; without it they say
    nothing.
    """
    return OipApp(handler, limits or BodyLimits(), guard, terms)


class OipApp:
    """May run on its own or be mounted; everything it raises is turned into the protocol's `{"error": text}`.

    It leaves in the scope's `state` what may be kept of an inference: `model`, the name that was asked for, where there
    is such a model, and `log`, fields of a line.
    """

    def __init__(
        self, handler: ProtocolHandler, limits: BodyLimits, guard: Guard | None, terms: Terms | None = None
    ) -> None:
        self._handler = handler
        self._limits = limits
        self._guard = guard
        self._terms = terms
        self._large = asyncio.Semaphore(_LARGE_AT_ONCE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise RuntimeError(f"the protocol has no {scope['type']!r} connections")
        try:
            answer = await self._answer(scope, receive)
        except ClientGone:
            return
        except ServingError as error:
            answer = _error(status_of(error), error)
        except Exception:
            logger.exception("a protocol request failed")
            answer = _error(500, ServingError("internal error"))
        await send_answer(send, answer)

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        route = match_route(_own_path(scope))
        if route is None:
            return _error(404, ServingError("Not Found"))
        if self._guard is not None and route.admin:
            await self._guard(scope)
        methods = route.operation.methods
        if methods and scope["method"] not in methods:
            refusal = _error(405, ServingError("Method Not Allowed"))
            return Answer(refusal.status, refusal.body, {**refusal.headers, "allow": ", ".join(methods)})
        if route.operation is Operation.UNSERVED:
            raise Unsupported(f"{scope['path'][:128]} is not served here")
        if route.operation is Operation.INFER:
            return await self._infer(route, scope, receive)
        if route.operation in (Operation.LIVE, Operation.READY, Operation.MODEL_READY):
            return await self._health(route)
        if route.operation.methods == ("POST",):
            return await self._repository(route, await self._document(scope, receive))
        return _json(await self._description(route))

    async def _infer(self, route: Route, scope: Scope, receive: Receive) -> Answer:
        terms = None if self._terms is None else self._terms(scope)
        sent = await read_body(scope, receive, self._limits)
        encoding = text_header(scope, "content-encoding")

        def decode() -> InferRequest:
            body = decompress(sent, encoding, limit_bytes=self._limits.max_bytes)
            json_length = text_header(scope, "inference-header-content-length") or None
            return http_wire.decode_request(body, json_length, model=route.model or "", version=route.version)

        # A compressed body may be large inside however short it is.
        size_bytes = self._limits.max_bytes if encoding else len(sent)
        async with self._large if size_bytes > OFF_LOOP_BYTES else contextlib.nullcontext():
            request = await off_loop(size_bytes, decode)
        state = scope.setdefault("state", {})
        try:
            response = await while_connected(scope, receive, self._handler.infer(request, terms=terms))
        except NotFound as error:
            return _error(400, error)  # as Triton: an unknown model makes an infer request a bad one
        except ServingError:
            if await self._handler.knows(request.model, request.version):
                state["model"] = request.model
            raise
        state["model"] = request.model
        state.setdefault("log", {}).update(log_of(response))
        accepted = accepted_encoding(text_header(scope, "accept-encoding"))
        size = sum(output.array.nbytes for output in response.outputs)
        return await off_loop(size, lambda: _infer_answer(response, request, accepted))

    async def _health(self, route: Route) -> Answer:
        """Empty bodies: 200, 400 when not ready, 503 when the server is about to exit."""
        if self._handler.exiting:
            return Answer(503)
        if route.operation is Operation.LIVE:
            return Answer(200)
        if route.operation is Operation.READY:
            return Answer(200 if await self._handler.ready() else 400)
        return Answer(200 if await self._handler.model_ready(route.model or "", route.version) else 400)

    async def _description(self, route: Route) -> Any:
        model, version = route.model or "", route.version
        match route.operation:
            case Operation.MODEL_METADATA:
                return http_document.model_metadata(await self._handler.model_metadata(model, version))
            case Operation.MODEL_CONFIG:
                return config_to_json(await self._handler.model_config(model, version))
            case Operation.STATISTICS:
                return http_document.statistics(await self._handler.statistics(route.model, version))
            case _:
                return http_document.server_metadata(self._handler.server_metadata())

    async def _repository(self, route: Route, document: dict[str, Any]) -> Answer:
        if route.operation is Operation.INDEX:
            ready_only = http_wire.flag(document, "ready", "request")
            return _json(http_document.repository_index(await self._handler.index(ready_only=ready_only)))
        change = self._handler.load if route.operation is Operation.LOAD else self._handler.unload
        await change(route.model or "", http_wire.parameters_of(document, "request"))
        return Answer(200, headers=_JSON)

    async def _document(self, scope: Scope, receive: Receive) -> dict[str, Any]:
        """The JSON of a request that may come without any."""
        body = await read_body(scope, receive, self._limits)
        encoding = text_header(scope, "content-encoding")
        body = decompress(body, encoding, limit_bytes=self._limits.max_bytes)
        return json_document.read(body) if body.strip() else {}


def log_of(response: InferResponse) -> dict[str, object]:
    """What a line of a log says of an inference that was answered."""
    times = {"queue_ms": round(1000 * response.queue_s, 3), "infer_ms": round(1000 * response.infer_s, 3)}
    arm = {"arm": response.arm} if response.arm else {}
    return {**({"id": response.id[:128]} if response.id else {}), "model": str(response.ref), **arm, **times}


def _own_path(scope: Scope) -> str:
    """The path from `/v2` on, whether the app is mounted at `/v2` or at what comes before it."""
    before: str = scope.get("root_path", "").removesuffix("/v2")
    path: str = scope["path"]
    return path.removeprefix(before)


def _infer_answer(response: InferResponse, request: InferRequest, accepted: str | None) -> Answer:
    body = http_wire.encode_response(response, request)
    headers = {"content-type": "application/json" if body.json_length is None else "application/octet-stream"}
    if body.json_length is not None:
        headers["inference-header-content-length"] = str(body.json_length)
    if response.arm:
        headers |= {"x-served-by": str(response.ref), "x-release-arm": response.arm}
    if accepted is None:
        return Answer(200, body.data, headers)
    return Answer(200, compress(body.data, accepted), {**headers, "content-encoding": accepted})


def _json(document: Any) -> Answer:
    return Answer(200, json_document.write(document), _JSON)


def _error(status: int, error: ServingError) -> Answer:
    headers = dict(_JSON)
    if error.retry_after_s is not None:
        headers["retry-after"] = str(math.ceil(error.retry_after_s))
    return Answer(status, json_document.write({"error": error.detail}), headers)
