"""Which version answers a request, and where that is counted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from services.shared.errors import InvalidInput, NotFound, NotReady, ServingError
from services.shared.model_ref import ModelRef
from services.shared.random_bytes import random_bytes
from services.shared.release.arm_counters import ArmCounters
from services.shared.release.release_counters import ReleaseCounters
from services.shared.release.routing import STABLE, ReleaseRouting, Route, Sticky, choose, route_of

Resolve = Callable[[str, int | None], ModelRef]


@dataclass(slots=True)
class Load:
    """How many passages are on their way, and how many requests ever came: what waits for a quiet moment looks here."""

    in_flight: int = 0
    begun: int = 0


@dataclass(slots=True)
class Passage:
    """One request on its way: its route, and the counters of the arm, None where its answer is no evidence.

    Exactly one of `answered`, `failed` and `left` is to be called; `Router.instead` does so as well.
    """

    route: Route
    key_hash: int
    counters: ArmCounters | None
    load: Load = field(default_factory=Load)

    def answered(self, latency_s: float, top_1: int, confidence: float) -> None:
        self.load.in_flight -= 1
        if self.counters is not None:
            self.counters.observe(latency_s, self.key_hash, top_1, confidence)

    def left(self) -> None:
        """It ended in a way that says nothing about the arm, or goes on in another passage."""
        self.load.in_flight -= 1
        if self.counters is not None:
            self.counters.abandon()

    def failed(self, error: BaseException) -> None:
        """What is the client's fault, or the client's leaving, says nothing about the arm."""
        self.load.in_flight -= 1
        if self.counters is None:
            return
        if isinstance(error, ServingError) and not isinstance(error, InvalidInput):
            self.counters.observe_error(type(error).__name__, self.key_hash)
        else:
            self.counters.abandon()


class Router:
    """Routes by the releases that it was last told of. `resolve` gives a name's default ref, or the version that was
    asked for, and raises NotFound. `lacks` tells of a version that this process itself should have loaded, and has not.
    Belongs to one event loop."""

    def __init__(
        self,
        resolve: Resolve,
        routings: Mapping[str, ReleaseRouting] | None = None,
        counters: ReleaseCounters | None = None,
        lacks: Callable[[ModelRef], bool] = lambda _: False,
    ) -> None:
        self._resolve, self._lacks = resolve, lacks
        self.routings: Mapping[str, ReleaseRouting] = routings or {}
        self.counters = counters or ReleaseCounters()
        self.load = Load()

    def check_known(self, model: str, version: int | None) -> None:
        """Raises NotFound for a name that nobody knows, so that its images need not be read."""
        self._resolve(model, version)

    def begin(
        self,
        model: str,
        version: int | None = None,
        *,
        key: bytes = b"",
        api_key: bytes | None = None,
        forced: str | None = None,
    ) -> Passage:
        """Raises NotFound, or InvalidInput for an arm that there is not."""
        ref = self._resolve(model, version)
        routing = self.routings.get(model) if version is None else None
        if routing is None:
            route = route_of(None, ref, pinned=None if version is None else ref, forced=forced)
            return self._passage(route, 0, None)
        key_hash = key_hash_of(routing, key, api_key)
        route = route_of(routing, ref, key_hash, forced=forced)
        counters = self.counters.of(route)
        if counters is not None:
            counters.begin()
        return self._passage(route, key_hash, counters)

    def instead(self, model: str, passage: Passage, error: BaseException) -> Passage | None:
        """Ends a passage that failed. None where the error is the request's answer; stable's passage to go on with
        where the arm is not loaded here: this process has just begun, or the arm was unloaded since it was chosen.
        Where a request was sent says nothing about a version: that is no evidence, nor is what stable answers then.
        """
        route = passage.route
        if not isinstance(error, NotReady | NotFound) or not self._lacks(route.ref):
            passage.failed(error)
            return None
        passage.left()
        return self.begin(model, forced=STABLE) if route.evidence and route.arm != STABLE else None

    def _passage(self, route: Route, key_hash: int, counters: ArmCounters | None) -> Passage:
        load = self.load
        load.in_flight += 1
        load.begun += 1
        return Passage(route, key_hash, counters, load)

    def decided(self, model: str) -> Route | ReleaseRouting:
        """The route of every request that names no version, or the release that decides about each: `released_route`.
        Raises NotFound."""
        ref = self._resolve(model, None)
        return self.routings.get(model) or route_of(None, ref)


def key_hash_of(routing: ReleaseRouting, key: bytes | None, api_key: bytes | None) -> int:
    """The 64 bits that stand for a request: the hash of its routing key, or of its API key's id where there is one.
    Where there is no key (`key` is None), or nothing sticks, random ones: the hash of a random key would be no other.
    """
    sticky = routing.sticky
    if sticky is Sticky.API_KEY and api_key is not None:
        return routing.hash_of(api_key)
    return int.from_bytes(random_bytes(8)) if key is None or sticky is Sticky.NONE else routing.hash_of(key)


def released_route(routing: ReleaseRouting, key: bytes | None, api_key: bytes | None) -> tuple[Route, int]:
    """The route that a release gives, and the key's hash; for `key` None any will do. What is counted is the caller's
    to count."""
    key_hash = key_hash_of(routing, key, api_key)
    return choose(routing, key_hash), key_hash
