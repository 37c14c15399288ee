"""The 200 answer of a predict request, as the public contract names its fields."""

from __future__ import annotations

import orjson
from starlette.types import Scope, Send

from services.shared.answer import Answer
from services.shared.answer_document import image_document, predictions_document, served_by_document
from services.shared.clock import Clock
from services.shared.feedback import FeedbackClaim, FeedbackSigner
from services.shared.random_bytes import random_bytes


class AnswerWriter:
    """Writes answers, each with a `feedback_id` that says what it was."""

    def __init__(self, signer: FeedbackSigner, clock: Clock) -> None:
        self._signer = signer
        self._clock = clock

    def body(self, answer: Answer, request_id: str, model: str) -> bytes:
        timings = answer.timings_ms
        at, nonce = int(self._clock.now()), random_bytes(8).hex()
        route = answer.route
        # The truth about an answer that a tester forced is no more evidence about the arm than the answer is.
        release, step = (route.release, route.step) if route.evidence else ("", 0)
        claim = FeedbackClaim(route.ref, route.arm, answer.top_1[0], at, release, step, nonce)
        return orjson.dumps(
            {
                "request_id": request_id,
                "feedback_id": self._signer.sign(claim),
                "model": model,
                "served_by": served_by_document(answer.served_by, answer.arm),
                "results": [
                    {
                        "predictions": predictions_document(result),
                        "image": image_document(result),
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

    async def send(self, answer: Answer, model: str, cookie: bytes | None, scope: Scope, send: Send) -> None:
        headers, body = self.response(answer, model, cookie, scope)
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def response(
        self, answer: Answer, model: str, cookie: bytes | None, scope: Scope
    ) -> tuple[list[tuple[bytes, bytes]], bytes]:
        """The headers and the body; notes for the request's log line what answered."""
        state, timings = scope["state"], answer.timings_ms
        body = self.body(answer, state["request_id"], model)
        state["decode_s"] = timings.decode / 1000
        state.setdefault("log", {}).update(
            decode_ms=timings.decode,
            queue_ms=timings.queue,
            model=str(answer.served_by),
            arm=answer.arm,
            infer_ms=timings.infer,
        )
        timing = f"decode;dur={timings.decode}, queue;dur={timings.queue}, infer;dur={timings.infer}"
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"x-served-by", str(answer.served_by).encode()),
            (b"x-release-arm", answer.arm.encode()),
            (b"server-timing", timing.encode()),
        ]
        if cookie is not None:
            headers.append((b"set-cookie", cookie))
        return headers, body
