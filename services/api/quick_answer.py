"""The 200 answers of one run, as bytes on the wire: what `AnswerWriter` and `RequestCycle` write, in one step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import orjson

from services.api.request_records import Waits
from services.shared.answer_document import served_by_document
from services.shared.brief_predictor import Joined, Outcome
from services.shared.clock import Clock
from services.shared.feedback import FeedbackSigner
from services.shared.random_bytes import random_bytes
from services.shared.release.routing import Route

_NONCE_BYTES = 8
_STATUS_LINE = "HTTP/1.1 200 OK\r\n"

Headers = Sequence[tuple[bytes, bytes]]


@dataclass(slots=True, eq=False)
class _Shared:
    """What answers of one route have in common for a second: `head` are header lines, `middle` is of the body."""

    route: Route
    head: str
    middle: str
    sign: Callable[[int, str], str]


class QuickAnswerWriter:
    """Belongs to one event loop."""

    def __init__(self, signer: FeedbackSigner, clock: Clock) -> None:
        self._signer, self._clock = signer, clock
        self._texts: dict[tuple[str, ...], tuple[str, ...]] = {}  # labels to the beginnings of predictions
        self._shared: dict[int, _Shared] = {}  # of a route, by its identity, in this second
        self._second = 0
        self._headers: Headers = ()
        self._header_lines = ""

    def of(self, joined: Joined, outcome: Outcome) -> QuickAnswer:
        """What writes the answers to the requests of a group."""
        view, route = joined.view, joined.route
        beginnings = self._texts.get(view.labels)
        if beginnings is None:
            if len(self._texts) > 256:  # labels of versions that went long ago
                self._texts.clear()
            named = enumerate(view.labels)
            beginnings = self._texts[view.labels] = tuple(_beginning(index, label) for index, label in named)
        nonces = random_bytes(_NONCE_BYTES * len(joined.askers)).hex()
        return QuickAnswer(joined, outcome, beginnings, self._shared_of(route, int(self._clock.now())), nonces)

    def _shared_of(self, route: Route, at: int) -> _Shared:
        if at != self._second:
            self._second = at
            self._shared.clear()
        shared = self._shared.get(id(route))
        if shared is None or shared.route is not route:
            served_by = orjson.dumps(served_by_document(route.ref, route.arm)).decode()
            shared = self._shared[id(route)] = _Shared(
                route,
                f"content-type: application/json\r\nx-served-by: {route.ref}\r\nx-release-arm: {route.arm}\r\n",
                f'","served_by":{served_by},"results":[{{"predictions":[',
                self._signer.signs(route.ref, route.arm, route.release, route.step, at),
            )
        return shared

    def shared_lines(self, headers: Headers) -> str:
        """The headers that every answer has, as lines; the server makes them anew each second."""
        if headers is not self._headers:
            self._headers = headers
            self._header_lines = b"".join([b"%b: %b\r\n" % header for header in headers]).decode("latin-1")
        return self._header_lines


class QuickAnswer:
    """Writes the answers of one group; `beginnings` are those of the predictions of each class."""

    def __init__(
        self, joined: Joined, outcome: Outcome, beginnings: Sequence[str], shared: _Shared, nonces: str
    ) -> None:
        self._joined, self._outcome, self._beginnings, self._nonces = joined, outcome, beginnings, nonces
        self._sign, self._middle = shared.sign, shared.middle
        # All at once, by what finds a number's shortest digits in a fifth of the time that Python takes.
        self._scores = orjson.dumps(outcome.scores)[2:-2].decode().split("],[")
        self.infer_ms = round(1000 * outcome.infer_s, 3)
        self._head = f"{shared.head}server-timing: infer;dur={self.infer_ms}, "
        self._started_s = outcome.ended_s - outcome.infer_s

    def waits(self, index: int) -> Waits:
        """How long the request at that place was decoded, and in the queue."""
        decoded_s = self._joined.decoded_s[index]
        decode_s, queue_s = decoded_s - self._joined.begun_s[index], self._started_s - decoded_s
        return decode_s, f"{1000 * decode_s:.3f}", f"{1000 * queue_s:.3f}" if queue_s > 0 else "0.000"

    def write(self, index: int, waits: Waits, model: str, request_id: str, more: str) -> bytes:
        """The answer to the request at that place, which asked for `model`; `more` are further header lines."""
        joined, outcome = self._joined, self._outcome
        best, begun_s = outcome.best[index], joined.begun_s[index]
        picture, at = joined.pictures[index], 2 * _NONCE_BYTES * index
        token = self._sign(best[0], self._nonces[at : at + 2 * _NONCE_BYTES])
        _, decode_ms, queue_ms = waits
        body = (
            f'{{"request_id":"{request_id}","feedback_id":"{token}","model":"{model}{self._middle}'
            f"{self._predictions(best, self._scores[index].split(','))}"
            f'],"image":{{"width":{picture.width},"height":{picture.height},"format":"{picture.format}"}}}}],'
            f'"timings_ms":{{"decode":{decode_ms},"queue":{queue_ms},"infer":{self.infer_ms},'
            f'"total":{1000 * (outcome.ended_s - begun_s):.3f}}}}}'
        ).encode()
        head = (
            f"{_STATUS_LINE}content-length: {len(body)}\r\nx-request-id: {request_id}\r\n{self._head}"
            f"decode;dur={decode_ms}, queue;dur={queue_ms}\r\n{more}\r\n"
        )
        return head.encode("latin-1") + body

    def _predictions(self, best: Sequence[int], scores: Sequence[str]) -> str:
        beginnings = self._beginnings
        try:
            return "},".join([beginnings[index] + score for index, score in zip(best, scores, strict=True)]) + "}"
        except IndexError:  # there are fewer labels than classes
            named = [beginnings[i] if i < len(beginnings) else _beginning(i, str(i)) for i in best]
            return "},".join([name + score for name, score in zip(named, scores, strict=True)]) + "}"


def _beginning(index: int, label: str) -> str:
    return f'{{"label":{orjson.dumps(label).decode()},"index":{index},"score":'
