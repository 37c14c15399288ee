"""Refusals of predictions while there is no place for them: they must cost less than what they protect."""

from __future__ import annotations

import logging
from collections.abc import Callable

from starlette.types import Scope

from services.api.admission import Admission
from services.api.auth import Authenticator
from services.api.predict import ROUTE, model_of
from services.api.problems import problem
from services.api.quick_post import UNUSUAL
from services.api.request_cycle import RequestCycle
from services.api.request_records import RequestRecords
from services.shared.asgi import headers_of
from services.shared.errors import ServingError
from services.shared.model_ref import check_model_name
from services.shared.priority import Priority

_log = logging.getLogger(__name__)


class QuickRefusal:
    """A `Refuse` of the connection, for a plain prediction whose headers are there: without the application, and before
    its body is read. Whoever may not predict at all is told so by the application."""

    def __init__(
        self,
        records: RequestRecords,
        authenticator: Authenticator,
        admission: Admission,
        *,
        draining: Callable[[], bool],
    ) -> None:
        self._records, self._authenticator, self._admission = records, authenticator, admission
        self._draining = draining

    def __call__(self, cycle: RequestCycle) -> bool:
        if not self._admission.refuses(Priority.NORMAL):
            return False
        scope: Scope = cycle.scope
        model = model_of(scope["path"]) if scope["method"] == "POST" and not scope["query_string"] else None
        if model is None or cycle.flow.write_paused or self._draining():
            return False
        try:
            check_model_name(model)
            fields, keys = headers_of(scope), self._authenticator.keys_at_once()
            usual = keys is not None and UNUSUAL.isdisjoint(fields)
            caller = self._authenticator.predicting(keys, fields) if keys is not None and usual else None
            refusal = None if caller is None else self._admission.refusal(Priority.NORMAL)
            if caller is None or refusal is None:
                return False
            begin_s = self._records.begin(scope)
            state = scope["state"]
            state["route"] = ROUTE
            if caller.key is not None:
                state["log"] = {"key_id": caller.key.key_id}
            answer = problem(refusal, state["request_id"])
            headers = [*answer.headers, (b"x-request-id", state["request_id"].encode())]
            cycle.answer(answer.status, headers, answer.body)
            self._records.end(scope, answer.status, begin_s)
        except ServingError:
            return False
        except Exception:
            _log.exception("a quick refusal failed unexpectedly")
            return False
        return True
