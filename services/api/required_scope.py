"""Which scope a call needs. Pure: the whole table of the API's access rights."""

from __future__ import annotations

from services.shared.errors import InvalidInput
from services.shared.keys.base import Scope
from services.shared.oip.http_route import Operation, match_route

_READS = frozenset({"GET", "HEAD", "OPTIONS"})

# By what the protocol's own router makes of a path, so that the two can never read one differently.
_PROTOCOL: dict[Operation, Scope] = {
    Operation.INFER: Scope.PREDICT,
    Operation.INDEX: Scope.ADMIN,
    Operation.LOAD: Scope.ADMIN,
    Operation.UNLOAD: Scope.ADMIN,
}


def required_scope(method: str, path: str) -> Scope | None:
    """The scope for a decoded path, None where nothing is needed: reading what is served, health, metrics, the docs.

    A path that does not exist needs nothing either: it is answered with 404.
    """
    if path.startswith("/v1/"):
        return _own(method, path)
    if path.startswith("/v2/"):
        return _protocol(method, path)
    return None


def _own(method: str, path: str) -> Scope | None:
    if method == "POST" and path.endswith("/predict") and path.startswith("/v1/models/"):  # the hot one
        return Scope.PREDICT
    writes = method not in _READS
    match path.rstrip("/").split("/")[2:]:
        case ["models", _, "jobs"]:
            return Scope.JOBS if writes else None
        case ["models", _, "explain"]:
            return Scope.PREDICT if writes else None
        case ["models", _, "default"] | ["models", _, "release", *_]:
            return Scope.ADMIN if writes else None
        case ["jobs", "dead", *_]:
            return Scope.ADMIN if method != "OPTIONS" else None  # they are of everybody's jobs
        case ["jobs", *_]:
            return Scope.JOBS if method != "OPTIONS" else None  # a job is seen by the key that made it
        case ["feedback"]:
            return Scope.PREDICT if writes else None
        case _:
            return None


def _protocol(method: str, path: str) -> Scope | None:
    try:
        route = match_route(path)
    except InvalidInput:
        return None  # the router refuses it in the same words
    if route is None or method in _READS:
        return None
    if route.operation is not Operation.UNSERVED:
        return _PROTOCOL.get(route.operation)
    # Answered with 501, but settings and memory are an administrator's whether they are served or not.
    return Scope.ADMIN if route.admin or path.rstrip("/").endswith("/trace/setting") else Scope.PREDICT
