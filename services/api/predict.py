"""`POST /v1/models/{model}/predict`: plain ASGI in front of the router, because it is the hot one."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from urllib.parse import parse_qsl

from starlette.types import ASGIApp, Receive, Scope, Send

from services.api.auth import Caller
from services.api.predict_answer import AnswerWriter
from services.api.problems import problem
from services.api.routing_key import routing_key
from services.api.uploads import ImageUrl, UploadLimits, images_in, media_type_of
from services.shared.answer import Answer
from services.shared.asgi import BodyLimits, ClientGone, header, off_loop, read_body, while_connected
from services.shared.errors import BodyTimeout, DeadlineExceeded, InvalidInput, UnsupportedMediaType
from services.shared.model_ref import check_model_name, parse_version
from services.shared.outbound.base import OutboundClient
from services.shared.predictor import Predictor
from services.shared.priority import Priority, parse_priority

_PREFIX, _SUFFIX = "/v1/models/", "/predict"
ROUTE = "/v1/models/{model}/predict"
DEFAULT_TOP_K = 5
MAX_TIMEOUT_MS = 600_000
MAX_TOP_K = 100


@dataclass(frozen=True, slots=True)
class PredictOptions:
    """What a request asks for beside its images; `timeout_s` counts from the request's headers."""

    top_k: int
    version: int | None
    timeout_s: float
    priority: Priority
    forced: str | None


def whole_number(text: str, name: str, low: int, high: int) -> int:
    """What a query or a header says; raises InvalidInput naming it."""
    # At most ten digits: int() of thousands raises an error of its own.
    if not (len(text) <= 10 and text.isascii() and text.isdigit() and low <= int(text) <= high):
        raise InvalidInput(f"{name} is {text[:32]!r}: use a whole number from {low} to {high}", field=name)
    return int(text)


def options_of(scope: Scope, default_timeout_s: float) -> PredictOptions:
    """The query and headers of a request, checked; raises InvalidInput naming the one at fault."""
    query = scope["query_string"]
    values = dict(parse_qsl(query.decode("latin-1"), keep_blank_values=True)) if query else {}
    timeout, priority = header(scope, b"x-timeout-ms"), header(scope, b"x-priority")
    arm = header(scope, b"x-release-arm")
    return PredictOptions(
        top_k=whole_number(values["top_k"], "top_k", 1, MAX_TOP_K) if "top_k" in values else DEFAULT_TOP_K,
        version=parse_version(values["version"]) if "version" in values else None,
        timeout_s=default_timeout_s
        if timeout is None
        else whole_number(timeout.decode("latin-1"), "X-Timeout-Ms", 1, MAX_TIMEOUT_MS) / 1000,
        forced=None if arm is None else arm.decode("latin-1"),
        priority=Priority.NORMAL if priority is None else parse_priority(priority.decode("latin-1")),
    )


def model_of(path: str) -> str | None:
    """The model in the path of a predict request, not checked yet; None for another path."""
    return path[len(_PREFIX) : -len(_SUFFIX)] if path.startswith(_PREFIX) and path.endswith(_SUFFIX) else None


class PredictRoute:
    """Answers predict requests itself and hands everything else to `app`."""

    def __init__(
        self,
        app: ASGIApp,
        predictor: Predictor,
        outbound: OutboundClient,
        answers: AnswerWriter,
        *,
        limits: UploadLimits,
        default_timeout_s: float,
    ) -> None:
        self._app = app
        self._predictor = predictor
        self._outbound = outbound
        self._answers = answers
        self._limits = limits
        self._default_timeout_s = default_timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        name = model_of(scope["path"])
        if name is None:
            await self._app(scope, receive, send)
            return
        scope["state"]["route"] = ROUTE
        if scope["method"] != "POST":
            await _wrong_method(scope, send)
            return
        model = check_model_name(name)
        options = options_of(scope, self._default_timeout_s)
        key = routing_key(scope)
        self._predictor.check_known(model, options.version)
        scope["state"]["model"] = model
        media_type = media_type_of(header(scope, b"content-type"))
        if (header(scope, b"content-encoding") or b"identity").lower() != b"identity":
            raise UnsupportedMediaType(
                "a Content-Encoding is not read here: images are compressed already", field="Content-Encoding"
            )
        end = asyncio.get_running_loop().time() + options.timeout_s
        try:
            body = await self._body(scope, receive, end)
            images = await off_loop(len(body), lambda: images_in(media_type, body, self._limits))
            work = self._predict(model, images, options, end, key.key, caller_id(scope))
            answer = await while_connected(scope, receive, work)
        except ClientGone:
            return
        await self._answers.send(answer, model, key.set_cookie, scope, send)

    async def _body(self, scope: Scope, receive: Receive, end: float) -> bytes:
        left_s = end - asyncio.get_running_loop().time()
        limits = self._limits.body
        if left_s >= limits.timeout_s:
            return await read_body(scope, receive, limits)
        try:
            return await read_body(scope, receive, BodyLimits(limits.max_bytes, left_s, limits.idle_s))
        except BodyTimeout as error:
            raise DeadlineExceeded("the deadline passed while the body was read") from error

    async def _predict(
        self,
        model: str,
        images: tuple[bytes | ImageUrl, ...],
        options: PredictOptions,
        end: float,
        key: bytes,
        api_key: bytes | None,
    ) -> Answer:
        fetched = await self._fetched(images, end)
        return await self._predictor.predict(
            model,
            fetched,
            version=options.version,
            key=key,
            api_key=api_key,
            forced=options.forced,
            top=options.top_k,
            timeout_s=end - asyncio.get_running_loop().time(),
            priority=options.priority,
        )

    async def _fetched(self, images: tuple[bytes | ImageUrl, ...], end: float) -> list[bytes]:
        left_s = end - asyncio.get_running_loop().time()
        max_bytes = self._limits.body.max_bytes

        async def one(image: bytes | ImageUrl) -> bytes:
            if isinstance(image, bytes):
                return image
            return (await self._outbound.fetch(image.url, max_bytes=max_bytes, timeout_s=left_s)).data

        if not any(isinstance(image, ImageUrl) for image in images):
            return [image for image in images if isinstance(image, bytes)]
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(one(image)) for image in images]
        except ExceptionGroup as failures:  # the first failure cancelled the other fetches
            raise failures.exceptions[0] from None
        return [task.result() for task in tasks]


def caller_id(scope: Scope) -> bytes | None:
    """The id of the key that the request was let in with."""
    caller: Caller | None = scope["state"].get("caller")
    return caller.key.key_id.encode() if caller is not None and caller.key is not None else None


async def _wrong_method(scope: Scope, send: Send) -> None:
    answer = problem(InvalidInput("Method Not Allowed"), scope["state"]["request_id"], status=405)
    headers = [*answer.headers, (b"allow", b"POST")]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})
