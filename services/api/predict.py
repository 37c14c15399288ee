"""`POST /v1/models/{model}/predict`: plain ASGI in front of the router, because it is the hot one."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from urllib.parse import parse_qsl

import orjson
from starlette.types import ASGIApp, Receive, Scope, Send

from services.api.context import header
from services.api.uploads import ClientGone, UploadLimits, images_in, read_body
from services.shared.errors import InvalidInput
from services.shared.model_ref import check_model_name, parse_version
from services.shared.predictor import Answer, Predictor
from services.shared.priority import Priority, parse_priority

_PREFIX, _SUFFIX = "/v1/models/", "/predict"
_ROUTE = "/v1/models/{model}/predict"
_MAX_TIMEOUT_MS = 600_000
_MAX_TOP_K = 100


@dataclass(frozen=True, slots=True)
class PredictOptions:
    """What a request asks for beside its images."""

    top_k: int = 5
    version: int | None = None
    timeout_s: float | None = None
    priority: Priority = Priority.NORMAL


def _whole(text: str, name: str, low: int, high: int) -> int:
    if not (text.isascii() and text.isdigit() and low <= int(text[:10]) <= high):
        raise InvalidInput(f"{name} is {text[:32]!r}: use a whole number from {low} to {high}", field=name)
    return int(text)


def options_of(scope: Scope) -> PredictOptions:
    """The query and headers of a request, checked; raises InvalidInput naming the one at fault."""
    query = scope["query_string"]
    values = dict(parse_qsl(query.decode("latin-1"), keep_blank_values=True)) if query else {}
    timeout, priority = header(scope, b"x-timeout-ms"), header(scope, b"x-priority")
    return PredictOptions(
        top_k=_whole(values["top_k"], "top_k", 1, _MAX_TOP_K) if "top_k" in values else 5,
        version=parse_version(values["version"]) if "version" in values else None,
        timeout_s=None
        if timeout is None
        else _whole(timeout.decode("latin-1"), "X-Timeout-Ms", 1, _MAX_TIMEOUT_MS) / 1000,
        priority=Priority.NORMAL if priority is None else parse_priority(priority.decode("latin-1")),
    )


def answer_json(answer: Answer, request_id: str, model: str) -> bytes:
    """The 200 body, as `api.md` names its fields."""
    timings = answer.timings_ms
    return orjson.dumps(
        {
            "request_id": request_id,
            "model": model,
            "served_by": {"model": answer.served_by.name, "version": answer.served_by.version, "arm": answer.arm},
            "results": [
                {
                    "predictions": [{"label": p.label, "index": p.index, "score": p.score} for p in result.predictions],
                    "image": {"width": result.width, "height": result.height, "format": result.format},
                }
                for result in answer.results
            ],
            "timings_ms": {
                "decode": timings.decode,
                "queue": timings.queue,
                "infer": timings.infer,
                "total": timings.total,
            },
        }
    )


class PredictRoute:
    """Answers predict requests itself and hands everything else to `app`."""

    def __init__(self, app: ASGIApp, predictor: Predictor, limits: UploadLimits) -> None:
        self._app = app
        self._predictor = predictor
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        if not (path.startswith(_PREFIX) and path.endswith(_SUFFIX)) or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        scope["state"]["route"] = _ROUTE
        model = check_model_name(path[len(_PREFIX) : -len(_SUFFIX)])
        options = options_of(scope)
        try:
            body = await read_body(scope, receive, self._limits)
        except ClientGone:
            return
        images = images_in(header(scope, b"content-type"), body, self._limits)
        answer = await self._until_gone(model, images, options, receive)
        if answer is not None:
            await self._send(answer, model, scope, send)

    async def _until_gone(
        self, model: str, images: tuple[bytes, ...], options: PredictOptions, receive: Receive
    ) -> Answer | None:
        """The answer, or None when the client went away first: its work is then cancelled."""
        work = asyncio.ensure_future(
            self._predictor.predict(
                model,
                images,
                version=options.version,
                top=options.top_k,
                timeout_s=options.timeout_s,
                priority=options.priority,
            )
        )
        gone = asyncio.ensure_future(receive())
        try:
            await asyncio.wait((work, gone), return_when=asyncio.FIRST_COMPLETED)
            return work.result() if work.done() else None
        finally:
            for task in (work, gone):
                task.cancel()

    async def _send(self, answer: Answer, model: str, scope: Scope, send: Send) -> None:
        state, timings = scope["state"], answer.timings_ms
        body = answer_json(answer, state["request_id"], model)
        state["log"] = {"model": str(answer.served_by), "arm": answer.arm, "infer_ms": timings.infer}
        timing = f"decode;dur={timings.decode}, queue;dur={timings.queue}, infer;dur={timings.infer}"
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"x-served-by", str(answer.served_by).encode()),
            (b"x-release-arm", answer.arm.encode()),
            (b"server-timing", timing.encode()),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})
