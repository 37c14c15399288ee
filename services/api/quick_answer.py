"""The 200 answers of one run, as bytes on the wire: what `AnswerWriter` and `RequestCycle` write, in one step."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import orjson

from services.shared.answer_document import served_by_document
from services.shared.brief_predictor import Joined, Outcome
from services.shared.clock import Clock
from services.shared.feedback import FeedbackSigner
from services.shared.random_bytes import random_bytes

_NONCE_BYTES = 8
_STATUS_LINE = "HTTP/1.1 200 OK\r\n"

Headers = Sequence[tuple[bytes, bytes]]


class QuickAnswerWriter:
    """Belongs to one event loop."""

    def __init__(self, signer: FeedbackSigner, clock: Clock) -> None:
        self._signer, self._clock = signer, clock
        self._texts: dict[tuple[str, ...], tuple[str, ...]] = {}
        self._headers: Headers = ()
        self._header_lines = ""

    def of(self, joined: Joined, outcome: Outcome) -> QuickAnswer:
        """What writes the answers to the requests of a group."""
        view, route = joined.view, joined.route
        labels = self._texts.get(view.labels)
        if labels is None:
            if len(self._texts) > 256:  # labels of versions that went long ago
                self._texts.clear()
            labels = self._texts[view.labels] = tuple(orjson.dumps(label).decode() for label in view.labels)
        at, nonces = int(self._clock.now()), random_bytes(_NONCE_BYTES * len(joined.askers)).hex()
        sign = self._signer.signs(route.ref, route.arm, route.release, route.step, at)
        return QuickAnswer(joined, outcome, labels, sign, nonces)

    def shared_lines(self, headers: Headers) -> str:
        """The headers that every answer has, as lines; the server makes them anew each second."""
        if headers is not self._headers:
            self._headers = headers
            self._header_lines = b"".join([b"%b: %b\r\n" % header for header in headers]).decode("latin-1")
        return self._header_lines


class QuickAnswer:
    """Writes the answers of one group; `timings` are in milliseconds, `labels` JSON texts."""

    def __init__(
        self, joined: Joined, outcome: Outcome, labels: Sequence[str], sign: Callable[[int, str], str], nonces: str
    ) -> None:
        route = joined.route
        self._joined, self._outcome, self._labels, self._sign, self._nonces = joined, outcome, labels, sign, nonces
        served_by = orjson.dumps(served_by_document(route.ref, route.arm)).decode()
        self.infer_ms = round(1000 * outcome.infer_s, 3)
        self._head = (
            f"content-type: application/json\r\nx-served-by: {route.ref}\r\nx-release-arm: {route.arm}\r\n"
            f"server-timing: infer;dur={self.infer_ms}, "
        )
        self._middle = f'","served_by":{served_by},"results":[{{"predictions":['
        self._started_s = outcome.ended_s - outcome.infer_s

    def waits_ms(self, index: int) -> tuple[float, float]:
        """How long the request at that place was decoded, and in the queue."""
        decoded_s = self._joined.decoded_s[index]
        return 1000 * (decoded_s - self._joined.begun_s[index]), 1000 * max(0.0, self._started_s - decoded_s)

    def write(self, index: int, waits_ms: tuple[float, float], model: str, request_id: str, more: str) -> bytes:
        """The answer to the request at that place, which asked for `model`; `more` are further header lines."""
        joined, outcome = self._joined, self._outcome
        best, begun_s = outcome.best[index], joined.begun_s[index]
        picture, at = joined.pictures[index], 2 * _NONCE_BYTES * index
        token = self._sign(best[0], self._nonces[at : at + 2 * _NONCE_BYTES])
        decode_ms, queue_ms = waits_ms
        body = (
            f'{{"request_id":"{request_id}","feedback_id":"{token}","model":"{model}{self._middle}'
            f"{self._predictions(best, outcome.scores[index])}"
            f'],"image":{{"width":{picture.width},"height":{picture.height},"format":"{picture.format}"}}}}],'
            f'"timings_ms":{{"decode":{decode_ms:.3f},"queue":{queue_ms:.3f},"infer":{self.infer_ms},'
            f'"total":{1000 * (outcome.ended_s - begun_s):.3f}}}}}'
        ).encode()
        head = (
            f"{_STATUS_LINE}content-length: {len(body)}\r\nx-request-id: {request_id}\r\n{self._head}"
            f"decode;dur={decode_ms:.3f}, queue;dur={queue_ms:.3f}\r\n{more}\r\n"
        )
        return head.encode("latin-1") + body

    def _predictions(self, best: Sequence[int], scores: Sequence[float]) -> str:
        labels = self._labels
        try:
            named = [labels[index] for index in best]
        except IndexError:
            named = [labels[index] if index < len(labels) else f'"{index}"' for index in best]
        said = zip(named, best, scores, strict=True)
        return ",".join([f'{{"label":{label},"index":{index},"score":{score!r}}}' for label, index, score in said])
