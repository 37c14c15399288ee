"""Which version answers a request while a release shares its model's traffic between arms. Pure.

A key is hashed once, with the release's salt, to 64 bits: `key_hash / 2^64` is the key's bucket. The arms take
intervals from 0 in their fixed order, as wide as their weights; stable takes the rest. So a key keeps its arm, and a
weight that rises only adds to what is not stable's. The same 64 bits serve the shadow's sample and the count of keys.
"""

from __future__ import annotations

import enum
import hashlib
import math
import re
from bisect import bisect_right
from dataclasses import dataclass, field
from functools import lru_cache

from services.shared.errors import InvalidInput
from services.shared.model_ref import ModelRef, check_model_name

SALT_BYTES = 16  # BLAKE2b's salt parameter (Aumasson et al., BLAKE2, section 2.8)
STABLE, SHADOW, PINNED = "stable", "shadow", "pinned"
_RESERVED = (STABLE, SHADOW, PINNED)
_ARM_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")  # it becomes a header's value and a metric's label

_SPACE = 2**64
# Multiplying by an odd number permutes the 64-bit hashes, and by this one spreads neighbours evenly (2^64 over the
# golden ratio, Knuth, The Art of Computer Programming 3, section 6.4): whatever interval of hashes an arm has, the
# share of it that is shadowed is the shadow's share, to within 2^-40 for weights from 0.01 %.
_SPREAD = 0x9E3779B97F4A7C15


class Sticky(enum.StrEnum):
    """What stays with its arm: a routing key, an API key (few of them make a 5 % canary 0 % or 33 %), or nothing."""

    KEY = "key"
    API_KEY = "api_key"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Arm:
    """A version that is let in; `weight` is the percentage of keys, 0 to 100."""

    name: str
    ref: ModelRef
    weight: float


@dataclass(frozen=True, slots=True)
class Shadow:
    """A version that is asked as well and never heard; `share` is the percentage of keys, 0 to 100."""

    ref: ModelRef
    share: float


@dataclass(frozen=True, slots=True)
class Route:
    """Who answers: `ref`, which is called `arm`. `shadow` is asked too, and its answer only compared.

    `release` is empty and `step` 0 where no release decided. `evidence` says whether the answer may be counted as the
    arm's: never when it was forced or pinned. `cells` are the classes that the release counts apart.
    """

    ref: ModelRef
    arm: str
    release: str = ""
    step: int = 0
    shadow: ModelRef | None = None
    evidence: bool = False
    cells: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class ReleaseRouting:
    """What a serving process needs of one release at one step. Raises InvalidInput where it contradicts itself.

    `release` is its id, `model` the public name it routes, `salt` SALT_BYTES random bytes for the release's whole life.
    Arms keep their order and place (with weight 0) for the release's whole life too. `cells` are stable's most frequent
    classes when the release began; empty while they are not known.
    """

    release: str
    model: str
    step: int
    salt: bytes
    sticky: Sticky
    stable: ModelRef
    arms: tuple[Arm, ...]
    shadow: Shadow | None = None
    cells: tuple[int, ...] = ()
    # Made once, so that a request costs a hash, a search and no new object.
    _salted: hashlib.blake2b = field(init=False, repr=False, compare=False)
    _bounds: tuple[int, ...] = field(init=False, repr=False, compare=False)
    _shadow_bound: int = field(init=False, repr=False, compare=False)
    _alone: tuple[Route, ...] = field(init=False, repr=False, compare=False)
    _mirrored: tuple[Route, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _check(self)
        keep = object.__setattr__  # the dataclass is frozen
        keep(self, "_salted", hashlib.blake2b(digest_size=8, salt=self.salt))
        ends = [math.fsum(arm.weight for arm in self.arms[: i + 1]) for i in range(len(self.arms))]
        keep(self, "_bounds", tuple(_bound(end) for end in ends))
        keep(self, "_shadow_bound", _bound(self.shadow.share) if self.shadow else 0)
        keep(self, "_alone", self._routes(None))
        keep(self, "_mirrored", self._routes(self.shadow.ref if self.shadow else None))

    def hash_of(self, key: bytes) -> int:
        """The key's 64 bits: BLAKE2b with a digest of 8 bytes, salted with the release's salt, read as big-endian."""
        salted = self._salted.copy()
        salted.update(key)
        return int.from_bytes(salted.digest(), "big")

    def _routes(self, shadow: ModelRef | None) -> tuple[Route, ...]:
        """Where each interval leads; a version is not shadowed by itself."""
        ends = [(arm.ref, arm.name) for arm in self.arms] + [(self.stable, STABLE)]
        return tuple(
            Route(ref, name, self.release, self.step, shadow if shadow != ref else None, True, self.cells)
            for ref, name in ends
        )


def bucket(key_hash: int) -> float:
    """A key's place in [0, 1), to 53 bits."""
    return (key_hash >> 11) / 2**53


def choose(routing: ReleaseRouting, key_hash: int, forced: str | None = None) -> Route:
    """The route of a key, given as `routing.hash_of(key)`: the same for the same key, and never back to stable when a
    weight rises. `forced` names an arm that shall answer instead; raises InvalidInput naming the arms there are.
    """
    if forced is not None:
        return _forced(routing, forced)
    place = bisect_right(routing._bounds, key_hash)
    if routing._shadow_bound and (key_hash * _SPREAD) % _SPACE < routing._shadow_bound:
        return routing._mirrored[place]
    return routing._alone[place]


def route_of(
    routing: ReleaseRouting | None,
    default: ModelRef,
    key_hash: int = 0,
    *,
    pinned: ModelRef | None = None,
    forced: str | None = None,
) -> Route:
    """The first that applies: the version in the request, the arm that it forces, the model's release (None where there
    is none; else `key_hash` is `routing.hash_of(key)`), the name's default ref. Raises InvalidInput as `choose` does.
    """
    if pinned is not None:
        return _outside_releases(pinned, PINNED)
    if routing is not None:
        return choose(routing, key_hash, forced)
    if forced is not None and forced != STABLE:
        raise _unknown_arm(forced, (STABLE,))
    return _outside_releases(default, STABLE)


@lru_cache(maxsize=1024)
def _outside_releases(ref: ModelRef, arm: str) -> Route:
    return Route(ref, arm)


def _forced(routing: ReleaseRouting, name: str) -> Route:
    for route in routing._alone:
        if route.arm == name:
            return Route(route.ref, name, route.release, route.step)
    raise _unknown_arm(name, tuple(route.arm for route in routing._alone))


def _unknown_arm(name: str, arms: tuple[str, ...]) -> InvalidInput:
    return InvalidInput(f"there is no arm {name[:64]!r}: use one of {', '.join(arms)}", field="X-Release-Arm")


def _bound(percent: float) -> int:
    """The first hash beyond `percent` of them all."""
    return min(int(percent / 100 * _SPACE), _SPACE)


def _check(routing: ReleaseRouting) -> None:
    check_model_name(routing.model)
    if not routing.release or routing.step < 0:
        raise InvalidInput("a release has an id, and steps from 0", field="release")
    if len(routing.salt) != SALT_BYTES:
        raise InvalidInput(f"a release's salt has {SALT_BYTES} bytes, not {len(routing.salt)}", field="salt")
    names = [arm.name for arm in routing.arms]
    for name in names:
        if not _ARM_NAME.fullmatch(name) or name in _RESERVED or names.count(name) > 1:
            raise InvalidInput(
                f"{name[:64]!r} cannot name an arm: use 1 to 63 of a-z, 0-9, '_' and '-', another for each arm, "
                f"and none of {', '.join(_RESERVED)}",
                field="arms",
            )
    for percent in (*(arm.weight for arm in routing.arms), routing.shadow.share if routing.shadow else 0.0):
        if not 0 <= percent <= 100:
            raise InvalidInput(f"{percent} is not a percentage: use 0 to 100", field="weight")
    total = math.fsum(arm.weight for arm in routing.arms)
    if total > 100 + 1e-9:  # decimal weights of 100 together may differ from it by rounding
        raise InvalidInput(f"the arms' weights are {total:g} together: use at most 100", field="weight")
