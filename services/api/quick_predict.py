"""Predictions of tiny pictures, answered without the application: no task, no middleware, no thread; and refusals of
any prediction while there is no place for it, because those must cost less than what they protect."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from starlette.types import Scope

from services.api.admission import Admission, Place
from services.api.auth import Authenticator, Caller
from services.api.gates import request_kind
from services.api.predict import DEFAULT_TOP_K, ROUTE, model_of
from services.api.predict_answer import AnswerWriter
from services.api.problems import problem
from services.api.request_cycle import RequestCycle
from services.api.request_records import CLIENT_GONE, RequestRecords
from services.api.routing_key import routing_key
from services.api.uploads import UploadLimits, images_in, media_type_of
from services.shared.answer import Answer
from services.shared.asgi import headers_of
from services.shared.brief_predictor import BriefPredictor
from services.shared.errors import Overloaded, ServingError
from services.shared.model_ref import check_model_name
from services.shared.priority import Priority

MAX_BODY_BYTES = 16 * 1024
# What asks for more than the usual, or for what only the application knows.
_UNUSUAL = frozenset(
    b"content-encoding expect traceparent transfer-encoding x-priority x-release-arm x-timeout-ms".split()
)
_log = logging.getLogger(__name__)

Fallback = Callable[[RequestCycle], None]


class QuickPredict:
    """A `Quick` of the connection. It does what the layers of the application do for such a request, by the same
    parts: key, place, upload, prediction, answer, metrics, log line. Whatever is unusual, or goes wrong, is left to the
    application, which begins anew, so that every refusal and every error is made in one place.
    """

    def __init__(
        self,
        brief: BriefPredictor,
        records: RequestRecords,
        authenticator: Authenticator,
        admission: Admission,
        answers: AnswerWriter,
        *,
        limits: UploadLimits,
        draining: Callable[[], bool],
    ) -> None:
        self._brief, self._authenticator, self._admission = brief, authenticator, admission
        self._records, self._answers, self._limits, self._draining = records, answers, limits, draining

    def __call__(self, cycle: RequestCycle, fallback: Fallback) -> bool:
        scope: Scope = cycle.scope
        model = model_of(scope["path"]) if scope["method"] == "POST" and not scope["query_string"] else None
        if model is None or cycle.flow.write_paused or self._draining():
            return False
        try:
            fields = headers_of(scope)
            caller = self._authenticator.predicting(scope) if _UNUSUAL.isdisjoint(fields) else None
            if caller is None:
                return False
            check_model_name(model)
            refusal = self._admission.refusal(Priority.NORMAL)
            if refusal is not None:
                return self._refuse(cycle, scope, caller, refusal)
            if not cycle.body_complete or len(cycle.body) > MAX_BODY_BYTES:
                return False
            return self._begin(cycle, scope, fields, caller, model, fallback)
        except ServingError:
            return False
        except Exception:
            _log.exception("a quick prediction failed unexpectedly")
            return False

    def _refuse(self, cycle: RequestCycle, scope: Scope, caller: Caller, refusal: Overloaded) -> bool:
        begin_s = _begin_records(self._records, scope, caller)
        request_id = scope["state"]["request_id"]
        answer = problem(refusal, request_id)
        cycle.answer(answer.status, [*answer.headers, (b"x-request-id", request_id.encode())], answer.body)
        self._records.end(scope, answer.status, begin_s)
        return True

    def _begin(
        self,
        cycle: RequestCycle,
        scope: Scope,
        fields: Mapping[bytes, bytes],
        caller: Caller,
        model: str,
        fallback: Fallback,
    ) -> bool:
        images = images_in(media_type_of(fields.get(b"content-type")), bytes(cycle.body), self._limits)
        if len(images) != 1 or not isinstance(images[0], bytes):
            return False
        key, size = routing_key(scope), len(cycle.body)
        place = self._admission.enter_at_once(request_kind(scope["path"], size), size, Priority.NORMAL)
        if place is None:
            return False
        request = _Request(self._records, self._answers, cycle, scope, model, place, fallback, key.set_cookie)
        return request.begin(self._brief, images[0], caller, key.key)


def _begin_records(records: RequestRecords, scope: Scope, caller: Caller) -> float:
    """What the application's layers note of a request; when it began."""
    begin_s = records.begin(scope)
    state = scope["state"]
    state["route"] = ROUTE
    if caller.key is not None:
        state["log"] = {"key_id": caller.key.key_id}
    return begin_s


class _Request:
    """One request that was let in, until it is answered, given up or left by its client."""

    __slots__ = (
        *("_answers", "_begin_s", "_cycle", "_fallback", "_model", "_over", "_place", "_records", "_scope"),
        *("_set_cookie", "_withdraw"),
    )

    def __init__(
        self,
        records: RequestRecords,
        answers: AnswerWriter,
        cycle: RequestCycle,
        scope: Scope,
        model: str,
        place: Place,
        fallback: Fallback,
        set_cookie: bytes | None,
    ) -> None:
        self._records, self._answers, self._cycle, self._scope = records, answers, cycle, scope
        self._model, self._place, self._fallback, self._set_cookie = model, place, fallback, set_cookie
        self._over = False
        self._begin_s = 0.0
        self._withdraw: Callable[[], None] | None = None

    def begin(self, brief: BriefPredictor, image: bytes, caller: Caller, key: bytes) -> bool:
        """Whether it will be answered, or was already."""
        self._begin_s = _begin_records(self._records, self._scope, caller)
        api_key = None if caller.key is None else caller.key.key_id.encode()
        self._place.begin()
        try:
            withdraw = brief.begin(self._model, image, self._reply, top=DEFAULT_TOP_K, key=key, api_key=api_key)
        except BaseException:
            self._give_up()
            raise
        if withdraw is None:
            self._give_up()
            return False
        if not self._over:
            self._withdraw = withdraw
            self._cycle.on_disconnect = self._client_left
        return True

    def _reply(self, answer: Answer | None) -> None:
        self._over = True
        self._cycle.on_disconnect = self._withdraw = None  # it leads back here: without it, nothing is left to collect
        if answer is None:
            self._give_up()
            self._fallback(self._cycle)
            return
        status = 500
        try:
            headers, body = self._answers.response(answer, self._model, self._set_cookie, self._scope)
            headers.append((b"x-request-id", self._scope["state"]["request_id"].encode()))
            self._cycle.answer(200, headers, body)
            status = 200
        except Exception:  # others were answered by the same run: they must not miss theirs
            _log.exception("a quick prediction could not be answered")
            self._cycle.transport.abort()
        self._place.leave(worked=status == 200)
        self._records.end(self._scope, status, self._begin_s)

    def _client_left(self) -> None:
        self._over = True
        if self._withdraw is not None:
            self._withdraw()
        self._place.leave(worked=False)
        self._records.end(self._scope, CLIENT_GONE, self._begin_s)

    def _give_up(self) -> None:
        self._place.leave(worked=False)
        self._records.take_back()
