"""What is kept of every request: its id, a count, a time, a line in the log."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from starlette.types import Scope

from services.shared.asgi import header
from services.shared.random_bytes import random_bytes
from services.shared.telemetry.access_log import AccessLog
from services.shared.telemetry.http_requests import HttpRequests

CLIENT_GONE = 499  # the client went away before there was an answer
_PROBES = ("/healthz/", "/metrics")
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
_SHOWN_PATH = 1024  # characters of a path in the log
_NOTHING: dict[str, Any] = {}


@dataclass(slots=True, eq=False)
class QuickEnd:
    """`key_id` is "" for a caller without a key."""

    request_id: str
    path: str
    seconds: float
    key_id: str

    def line(self, status: int) -> str:
        """Of the log: ids and paths here have no character that JSON would escape."""
        key = f',"key_id":"{self.key_id}"' if self.key_id else ""
        return (
            f'"request_id":"{self.request_id}","method":"POST","path":"{self.path}","status":{status},'
            f'"ms":{1000 * self.seconds:.3f}{key}'
        )


class RequestRecords:
    """Of one process; belongs to its event loop."""

    def __init__(self, requests: HttpRequests, access_log: AccessLog | None = None) -> None:
        self._requests = requests
        self._access_log = access_log

    def begin(self, scope: Scope) -> float:
        """When the request began, for `end`. Puts its id into `scope["state"]["request_id"]`: the client's, if it is 1
        to 128 letters, digits, `.`, `_`, `:` or `-`."""
        given = header(scope, b"x-request-id")
        request_id = given.decode() if given and _REQUEST_ID.fullmatch(given) else random_bytes(16).hex()
        scope.setdefault("state", {})["request_id"] = request_id
        self._requests.in_flight += 1
        return time.perf_counter()

    def take_back(self) -> None:
        """A request that began is begun anew elsewhere."""
        self._requests.in_flight -= 1

    def begin_quick(self, given: bytes | None) -> str:
        """A request without a scope begins; its id, by the rule of `begin`."""
        self._requests.in_flight += 1
        return given.decode() if given and _REQUEST_ID.fullmatch(given) else random_bytes(16).hex()

    def end_quick(self, route: str, ended: Sequence[QuickEnd], status: int, log: dict[str, Any]) -> None:
        """POST requests of one route that ended together; `log` is what their lines have in common at the end."""
        if not ended:
            return
        self._requests.in_flight -= len(ended)
        self._requests.observe_all(route, status, [each.seconds for each in ended])
        if self._access_log is not None:
            self._access_log.write_alike([each.line(status) for each in ended], log)

    def end(self, scope: Scope, status: int, begin_s: float) -> None:
        seconds = time.perf_counter() - begin_s
        self._requests.in_flight -= 1
        self._requests.observe(_route_of(scope), status, seconds)
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


def _route_of(scope: Scope) -> str:
    """A word for the metrics: what the hot route says, the template that FastAPI matched, `/v2`, or `other`."""
    said: str | None = scope["state"].get("route")
    if said is not None:
        return said
    if scope["path"].startswith("/v2"):
        return "/v2"
    return str(getattr(scope.get("route"), "path", "other"))
