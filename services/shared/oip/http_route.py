"""Which operation a REST path names. Pure.

Source: kserve/open-inference-protocol `specification/protocol/inference_rest.md` and the path patterns in
triton-inference-server/server `http_server.cc`.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

from services.shared.model_ref import parse_version


class Operation(enum.Enum):
    """What a route does."""

    LIVE = enum.auto()
    READY = enum.auto()
    SERVER_METADATA = enum.auto()
    MODEL_METADATA = enum.auto()
    MODEL_READY = enum.auto()
    MODEL_CONFIG = enum.auto()
    STATISTICS = enum.auto()
    INFER = enum.auto()
    INDEX = enum.auto()
    LOAD = enum.auto()
    UNLOAD = enum.auto()
    UNSERVED = enum.auto()  # part of Triton's protocol, not of what is served here

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods that the route takes; empty for any."""
        if self is Operation.UNSERVED:
            return ()
        return ("POST",) if self in _POSTED else ("GET", "HEAD")


_POSTED = frozenset({Operation.INFER, Operation.INDEX, Operation.LOAD, Operation.UNLOAD})


@dataclass(frozen=True, slots=True)
class Route:
    """An operation and what it is about; `admin` marks those that change or reveal the server itself."""

    operation: Operation
    model: str | None = None
    version: int | None = None
    admin: bool = False


_OF_A_MODEL = {
    (): Operation.MODEL_METADATA,
    ("ready",): Operation.MODEL_READY,
    ("config",): Operation.MODEL_CONFIG,
    ("stats",): Operation.STATISTICS,
    ("infer",): Operation.INFER,
    ("generate",): Operation.UNSERVED,
    ("generate_stream",): Operation.UNSERVED,
    ("trace", "setting"): Operation.UNSERVED,
}


def match_route(path: str) -> Route | None:
    """The route of a decoded path, None when there is none; raises InvalidInput for a version that is not a number."""
    match path.strip("/").split("/"):
        case ["v2"]:
            return Route(Operation.SERVER_METADATA)
        case ["v2", "health", "live"]:
            return Route(Operation.LIVE)
        case ["v2", "health", "ready"]:
            return Route(Operation.READY)
        case ["v2", "models", "stats"]:
            return Route(Operation.STATISTICS)
        case ["v2", "models", model, "versions", version, *rest]:
            return _model_route(model, version, rest)
        case ["v2", "models", model, *rest]:
            return _model_route(model, None, rest)
        case ["v2", "repository", *rest]:
            return _repository_route(rest)
        case ["v2", "logging"] | ["v2", "trace", "setting"]:
            return Route(Operation.UNSERVED, admin=True)
        case ["v2", "systemsharedmemory" | "cudasharedmemory", *_]:
            return Route(Operation.UNSERVED, admin=True)
        case _:
            return None


def _model_route(model: str, version: str | None, rest: Sequence[str]) -> Route | None:
    operation = _OF_A_MODEL.get(tuple(rest))
    if operation is None:
        return None
    return Route(operation, model, None if version is None else parse_version(version))


def _repository_route(rest: Sequence[str]) -> Route | None:
    match rest:
        case ["index"]:
            return Route(Operation.INDEX, admin=True)
        case ["models", model, "load"]:
            return Route(Operation.LOAD, model, admin=True)
        case ["models", model, "unload"]:
            return Route(Operation.UNLOAD, model, admin=True)
        case [_, "index"] | [_, "models", _, "load" | "unload"]:
            return Route(Operation.UNSERVED, admin=True)  # a repository by name: there is only one
        case _:
            return None
