"""`POST /v1/models/{model}/explain`: plain ASGI, because a picture's body is larger than what FastAPI is given here."""

from __future__ import annotations

import asyncio
from functools import partial

from starlette.types import Receive, Scope, Send

from services.api.explain_answer import headers_of_answer, json_body, picture_body
from services.api.explain_options import JSON, PNG, question_of, terms_of, wants_picture
from services.api.predict import caller_id, options_of
from services.api.problems import problem
from services.api.routing_key import routing_key
from services.api.uploads import ImageUrl, UploadLimits, images_in, media_type_of
from services.shared.asgi import BodyLimits, ClientGone, header, off_loop, read_body, while_connected
from services.shared.clock import Clock
from services.shared.errors import BodyTimeout, DeadlineExceeded, InvalidInput, Overloaded, UnsupportedMediaType
from services.shared.explanation.explainer import Explainer, Explanation, Question, Terms
from services.shared.imaging.heatmap import Sketch
from services.shared.model_ref import check_model_name
from services.shared.outbound.base import OutboundClient
from services.shared.telemetry.explanation_counts import ExplanationCounts, ExplanationOutcome

PREFIX, SUFFIX = "/v1/models/", "/explain"
ROUTE = "/v1/models/{model}/explain"
MAX_READING = 4  # bodies at once: each may be as large as a body may be, and only one of them can go on


class ExplainRoute:
    """`sketch` draws the picture that an overlay lies on. Refuses what it can before a body is read."""

    def __init__(
        self,
        explainer: Explainer,
        outbound: OutboundClient,
        sketch: Sketch,
        counts: ExplanationCounts,
        clock: Clock,
        *,
        limits: UploadLimits,
        default_timeout_s: float,
    ) -> None:
        self._explainer, self._outbound, self._sketch = explainer, outbound, sketch
        self._counts, self._clock = counts, clock
        self._limits, self._default_timeout_s = limits, default_timeout_s
        self._reading = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"]["route"] = ROUTE
        if scope["method"] != "POST":
            await _wrong_method(scope, send)
            return
        model = check_model_name(scope["path"].removeprefix(PREFIX).removesuffix(SUFFIX))
        options, question, key = options_of(scope, self._default_timeout_s), question_of(scope), routing_key(scope)
        method, outcome = question.method.value, ExplanationOutcome.FAILED
        begun_s = self._clock.monotonic()
        try:
            image = await self._image(scope, receive, model, options.version, options.timeout_s)
            left_s = options.timeout_s - (self._clock.monotonic() - begun_s)
            terms = terms_of(options, key.key, caller_id(scope), left_s=left_s)
            work = self._answered(scope, model, image, question, terms)
            explained, media_type, body = await while_connected(scope, receive, work)
            outcome = ExplanationOutcome.MADE
        except (ClientGone, asyncio.CancelledError) as error:
            outcome = ExplanationOutcome.LEFT
            if isinstance(error, asyncio.CancelledError):
                raise
            return
        except Overloaded:
            outcome = ExplanationOutcome.REFUSED
            raise
        finally:
            if outcome is not ExplanationOutcome.MADE:
                self._counts.ended(method, outcome)
        self._counts.made(method, self._clock.monotonic() - begun_s, explained.evaluations)
        scope["state"].setdefault("log", {}).update(model=str(explained.route.ref), arm=explained.route.arm)
        headers = headers_of_answer(explained, media_type, len(body), key.set_cookie)
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _answered(
        self, scope: Scope, model: str, image: bytes, question: Question, terms: Terms
    ) -> tuple[Explanation, bytes, bytes]:
        begun_s = self._clock.monotonic()
        explained = await self._explainer.explain(model, image, question, terms)
        if wants_picture(scope):
            return explained, PNG, await asyncio.to_thread(picture_body, explained, image, self._sketch)
        total_s = self._clock.monotonic() - begun_s
        body = await asyncio.to_thread(json_body, explained, scope["state"]["request_id"], model, total_s)
        return explained, JSON, body

    async def _image(self, scope: Scope, receive: Receive, model: str, version: int | None, timeout_s: float) -> bytes:
        """The one image of the body. Raises what is wrong with the request, Overloaded, BodyTimeout, ClientGone."""
        self._explainer.check_known(model, version)
        scope["state"]["model"] = model
        media_type = media_type_of(header(scope, b"content-type"))
        if (header(scope, b"content-encoding") or b"identity").lower() != b"identity":
            raise UnsupportedMediaType(
                "a Content-Encoding is not read here: images are compressed already", field="Content-Encoding"
            )
        self._explainer.check_free()
        if self._reading >= MAX_READING:
            raise Overloaded("other pictures are on their way to be explained: try again", retry_after_s=1.0)
        self._reading += 1
        try:
            body = await self._body(scope, receive, timeout_s)
        finally:
            self._reading -= 1
        images = await off_loop(len(body), partial(images_in, media_type, body, self._limits))
        if len(images) != 1:
            raise InvalidInput(f"there are {len(images)} images, and one is explained at a time", field="image")
        [image] = images
        if isinstance(image, ImageUrl):
            limit = self._limits.body.max_bytes
            return (await self._outbound.fetch(image.url, max_bytes=limit, timeout_s=timeout_s)).data
        return image

    async def _body(self, scope: Scope, receive: Receive, timeout_s: float) -> bytes:
        limits = self._limits.body
        try:
            return await read_body(
                scope, receive, BodyLimits(limits.max_bytes, min(limits.timeout_s, timeout_s), limits.idle_s)
            )
        except BodyTimeout as error:
            if timeout_s < limits.timeout_s:
                raise DeadlineExceeded("the deadline passed while the body was read") from error
            raise


async def _wrong_method(scope: Scope, send: Send) -> None:
    answer = problem(InvalidInput("Method Not Allowed"), scope["state"]["request_id"], status=405)
    await send({"type": "http.response.start", "status": 405, "headers": [*answer.headers, (b"allow", b"POST")]})
    await send({"type": "http.response.body", "body": answer.body})
