"""What is kept of every request: its id, a count, a time, a line in the log."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from starlette.types import Scope

from services.shared.asgi import header
from services.shared.telemetry.access_log import AccessLog
from services.shared.telemetry.http_requests import HttpRequests
from services.shared.telemetry.request_id import request_id_of

CLIENT_GONE = 499  # the client went away before there was an answer
_PROBES = ("/healthz/", "/metrics")
_SHOWN_PATH = 1024  # characters of a path in the log
_NOTHING: dict[str, Any] = {}
Waits = tuple[float, str, str]  # of an answer: seconds of decoding, then milliseconds of it and in the queue, as text


@dataclass(slots=True, eq=False)
class QuickEnd:
    """`key_id` is "" for a caller without a key; `waits` are an answered request's."""

    request_id: str
    path: str
    seconds: float
    key_id: str
    waits: Waits | None = None

    def line(self, status: int) -> str:
        """Of the log: ids and paths here have no character that JSON would escape."""
        key = f',"key_id":"{self.key_id}"' if self.key_id else ""
        if self.waits is not None:
            _, decode_ms, queue_ms = self.waits
            key += f',"decode_ms":{decode_ms},"queue_ms":{queue_ms}'
        return (
            f'"request_id":"{self.request_id}","method":"POST","path":"{self.path}","status":{status},'
            f'"ms":{1000 * self.seconds:.3f}{key}'
        )


class RequestRecords:
    """Of one process; belongs to its event loop. A request's `state` may hold what else is kept of it: `model`, the
    public name that it asks for once it is known to be one, `decode_s`, and `log`, more fields of its line."""

    def __init__(self, requests: HttpRequests, access_log: AccessLog | None = None) -> None:
        self._requests = requests
        self._access_log = access_log

    def begin(self, scope: Scope) -> float:
        """When the request began, for `end`. Puts its id into `scope["state"]["request_id"]`."""
        scope.setdefault("state", {})["request_id"] = request_id_of(header(scope, b"x-request-id"))
        self._requests.in_flight += 1
        return time.perf_counter()

    def take_back(self) -> None:
        """A request that began is begun anew elsewhere."""
        self._requests.in_flight -= 1

    def begin_quick(self, given: bytes | None) -> str:
        """A request without a scope begins; its id, by the rule of `begin`."""
        self._requests.in_flight += 1
        return request_id_of(given)

    def end_quick(
        self, route: str, ended: Sequence[QuickEnd], status: int, model: str, log: dict[str, Any] = _NOTHING
    ) -> None:
        """POST requests of one route and model that ended together; `log` is what their lines have in common at the
        end."""
        if not ended:
            return
        self._requests.in_flight -= len(ended)
        self._requests.observe_all(route, status, [each.seconds for each in ended], model)
        decodes_s = [each.waits[0] for each in ended if each.waits is not None]
        if decodes_s:
            self._requests.decoded(model, decodes_s)
        if self._access_log is not None:
            self._access_log.write_alike([each.line(status) for each in ended], log)

    def end(self, scope: Scope, status: int, begin_s: float) -> None:
        seconds = time.perf_counter() - begin_s
        self._requests.in_flight -= 1
        state = scope["state"]
        model = state.get("model", "")
        self._requests.observe(route_of(scope), status, seconds, model)
        if "decode_s" in state:
            self._requests.decoded(model, (state["decode_s"],))
        # Probes come every second or more often: a line for each would bury the rest.
        if self._access_log is not None and not scope["path"].startswith(_PROBES):
            self._access_log.write(_line(scope, status, seconds))


def _line(scope: Scope, status: int, seconds: float) -> dict[str, Any]:
    state = scope["state"]
    return {
        "request_id": state["request_id"],
        "method": scope["method"],
        "path": scope["path"][:_SHOWN_PATH],
        "status": status,
        "ms": round(1000 * seconds, 3),
        **state.get("log", _NOTHING),
    }


def route_of(scope: Scope) -> str:
    """A word for the metrics: what the hot route says, the template that FastAPI matched, `/v2`, or `other`."""
    said: str | None = scope["state"].get("route")
    if said is not None:
        return said
    if scope["path"].startswith("/v2"):
        return "/v2"
    return str(getattr(scope.get("route"), "path", "other"))
