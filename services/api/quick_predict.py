"""Predictions of tiny pictures, answered without the parser and the application: no task, no middleware, no thread;
what all requests of one turn of the event loop have in common is done once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from services.api.admission import Admission
from services.api.auth import Authenticator
from services.api.predict import DEFAULT_TOP_K, ROUTE
from services.api.quick_answer import QuickAnswerWriter
from services.api.quick_post import QuickPost, Unread, quick_post
from services.api.quick_protocol import QuickConnection
from services.api.request_records import CLIENT_GONE, QuickEnd, RequestRecords, Waits
from services.api.routing_key import routing_key_in
from services.shared.brief_predictor import BriefPredictor, Joined, Outcome
from services.shared.clock import Clock
from services.shared.errors import ServingError
from services.shared.keys.base import KeySet
from services.shared.tracing.request_tracing import RequestTracing

_KEYED = frozenset((b"cookie", b"sec-fetch-site", b"x-routing-key"))
_log = logging.getLogger(__name__)


class QuickPredict:
    """The `QuickAnswers` of connections. It does what the layers of the application do for such a request, by the same
    parts: key, place, upload, prediction, answer, metrics, log line. Whatever is unusual, or goes wrong, is left to the
    application, which begins anew, so that every refusal and every error is made in one place.
    """

    def __init__(
        self,
        brief: BriefPredictor,
        records: RequestRecords,
        authenticator: Authenticator,
        admission: Admission,
        answers: QuickAnswerWriter,
        *,
        clock: Clock,
        draining: Callable[[], bool],
        tracing: RequestTracing | None = None,
    ) -> None:
        self._brief, self._records, self._authenticator = brief, records, authenticator
        self._admission, self._answers, self._draining = admission, answers, draining
        self._tracing = tracing if tracing is not None and tracing.begins else None
        self._monotonic = clock.monotonic
        self._in_turn = self._ending = False
        self._keys: KeySet | None = None  # as they are in this turn

    def offer(self, connection: QuickConnection, data: bytes) -> QuickRequest | Unread:
        """See QuickAnswers."""
        begun_s = self._monotonic()
        post = quick_post(data)
        if isinstance(post, Unread):
            return post
        tracing = self._tracing
        if tracing is not None and tracing.wants_next():  # few are: what is recorded of them is known elsewhere
            return Unread.PARSER
        taken: QuickRequest | Unread = Unread.PARSER
        try:
            taken = self._take(connection, post, begun_s)
        except ServingError:
            pass
        except Exception:
            _log.exception("a quick prediction failed unexpectedly")
        if tracing is not None and taken is Unread.PARSER:
            tracing.comes_again()
        return taken

    def _take(self, connection: QuickConnection, post: QuickPost, begun_s: float) -> QuickRequest | Unread:
        if not self._in_turn:
            self._in_turn = True
            if not self._ending:
                self._end_soon()
            self._keys = None if self._draining() else self._authenticator.keys_at_once()
        if self._keys is None:
            return Unread.PARSER
        fields, key, api_key, cookie = post.fields, None, "", b""
        caller = self._authenticator.predicting(self._keys, fields)
        if caller is None:
            return Unread.PARSER
        if caller.key is not None:
            api_key = caller.key.key_id
        if not _KEYED.isdisjoint(fields):
            routed = routing_key_in(fields, secure=connection.is_secure)
            key, cookie = routed.key, routed.set_cookie or b""
        size = len(post.image)
        if not self._admission.hold(size):
            return Unread.PARSER
        request_id = self._records.begin_quick(fields.get(b"x-request-id"))
        request = QuickRequest(self, connection, post, request_id, begun_s, api_key, cookie)
        joined = None
        try:
            joined = self._brief.take(
                request.model, post.image, request, self._reply,
                top=DEFAULT_TOP_K, key=key, api_key=api_key.encode() if api_key else None,
            )  # fmt: skip
        finally:
            if joined is None:
                self._forget(request)
        if joined is None:
            return Unread.PARSER
        if not joined.done():
            request.joined = joined
        return request

    def _end_soon(self) -> None:
        self._ending = True
        asyncio.get_running_loop().call_soon(self._end_turn)

    def _end_turn(self) -> None:
        self._in_turn = self._ending = False
        if self._brief.end_turn():
            self._end_soon()

    def _forget(self, request: QuickRequest) -> None:
        """The application begins it anew."""
        self._admission.let_go(1, request.size)
        self._records.take_back()

    def _give_back(self, request: QuickRequest) -> None:
        self._forget(request)
        request.joined = None
        request.connection.give_back()

    def _reply(self, joined: Joined, outcome: Outcome | None) -> None:
        if outcome is None:
            for asker in joined.askers:
                if isinstance(asker, QuickRequest):
                    self._give_back(asker)
            return
        writer, now_s = self._answers.of(joined, outcome), self._monotonic()
        ended, model = [], ""
        for index, request in enumerate(joined.askers):
            if not isinstance(request, QuickRequest):  # who has left
                continue
            connection = request.connection
            more = self._answers.shared_lines(connection.answer_headers)
            if request.cookie:
                more += f"set-cookie: {request.cookie.decode('latin-1')}\r\n"
            if connection.is_ending:
                more += "connection: close\r\n"
            try:
                waits = writer.waits(index)
                answer = writer.write(index, waits, request.model, request.request_id, more)
            except Exception:  # others were answered by the same run: they must not miss theirs
                _log.exception("a quick prediction could not be answered")
                self._give_back(request)
                continue
            self._admission.let_go(1, request.size)
            request.joined = None  # it leads back here: nothing may wait for the collector of cycles
            connection.answer_quickly(answer)
            model = request.model  # of all in a group: a route is of one name
            ended.append(request.end(now_s, waits))
        if ended:
            log = {"model": str(joined.route.ref), "arm": joined.route.arm, "infer_ms": writer.infer_ms}
            self._records.end_quick(ROUTE, ended, 200, model, log)

    def left(self, request: QuickRequest) -> None:
        """The client of a request is gone."""
        self._admission.let_go(1, request.size)
        self._records.end_quick(ROUTE, [request.end(self._monotonic())], CLIENT_GONE, request.model)


class QuickRequest:
    """One request until it is answered, given back or left by its client; an `Asked` of its connection."""

    __slots__ = (
        "_begun_s",
        "_path",
        "_quick",
        "api_key",
        "connection",
        "cookie",
        "joined",
        "model",
        "request_id",
        "size",
    )

    def __init__(
        self, quick: QuickPredict, connection: QuickConnection, post: QuickPost, request_id: str, begun_s: float,
        api_key: str, cookie: bytes,
    ) -> None:  # fmt: skip
        self._quick, self.connection, self._begun_s = quick, connection, begun_s
        self._path, self.model, self.size = post.path.decode(), post.model.decode(), len(post.image)
        self.request_id, self.api_key, self.cookie = request_id, api_key, cookie
        self.joined: Joined | None = None

    def leave(self) -> None:
        joined, self.joined = self.joined, None
        if joined is not None:
            joined.leave(self)
        self._quick.left(self)

    def end(self, now_s: float, waits: Waits | None = None) -> QuickEnd:
        """What is kept of it."""
        return QuickEnd(self.request_id, self._path, now_s - self._begun_s, self.api_key, waits)
