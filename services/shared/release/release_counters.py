"""What one serving process counts about every release, by (release, step, arm). Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from services.shared.release.arm_counters import ArmCounters, Cell
from services.shared.release.arm_snapshot import ArmSnapshot
from services.shared.release.routing import SHADOW, Route

MAX_ARMS = 512
_FORMAT = 1


class ArmKey(NamedTuple):
    """An arm in one step of one release: what happened under different weights is never put together. A tuple, as what
    looks up hundreds of them in each look would take twice the time with any other key."""

    release: str
    step: int
    arm: str


@dataclass(frozen=True, slots=True)
class ReleaseSnapshot:
    """The totals of every arm; what one process publishes, or several together."""

    arms: Mapping[ArmKey, ArmSnapshot] = field(default_factory=dict)

    def merge(self, other: ReleaseSnapshot) -> ReleaseSnapshot:
        """Both together: associative and commutative, with ReleaseSnapshot() as its zero."""
        arms = dict(self.arms)
        for key, snapshot in other.arms.items():
            arms[key] = arms[key].merge(snapshot) if key in arms else snapshot
        return ReleaseSnapshot(arms)

    def to_json(self) -> dict[str, Any]:
        """A document of whole numbers below 2^63, texts, lists and dicts with texts as keys."""
        arms = [[key.release, key.step, key.arm, snapshot.to_json()] for key, snapshot in sorted(self.arms.items())]
        return {"format": _FORMAT, "arms": arms}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> ReleaseSnapshot:
        """Raises ValueError for a document that this version's `to_json` did not make."""
        try:
            if document["format"] != _FORMAT:
                raise ValueError(f"format {document['format']!r} is not {_FORMAT}")
            return cls({ArmKey(*key): ArmSnapshot.from_json(arm) for *key, arm in document["arms"]})
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"a release's counters cannot be read: {error!r}") from error


class Slots(Protocol):
    """Where numbers of requests in flight are kept, so that they outlive the process."""

    def take(self, release: str, step: int, arm: str) -> Cell:
        """A number, 0, for an arm; never raises."""
        ...

    def give_back(self, release: str, step: int, arm: str) -> None:
        """The arm is no longer counted; answers of it may still be on their way."""
        ...


class ReleaseCounters:
    """At most MAX_ARMS arms: those of steps that their release has left are forgotten first, then the ones that began
    first. What is forgotten while it is still asked begins anew, in place of what was told of it. Not locked: one
    thread counts.

    `on_error` is told of every error of any arm, and must be brief.
    """

    def __init__(self, slots: Slots | None = None) -> None:
        self._slots = slots
        self._arms: dict[tuple[str, int, str], ArmCounters] = {}
        self.on_error: Callable[[], None] | None = None

    def of(self, route: Route) -> ArmCounters | None:
        """Where an answer by this route is counted; None when it is no evidence."""
        return self._arm(route, route.arm) if route.evidence else None

    def shadow_of(self, route: Route) -> ArmCounters | None:
        """Where the answer of the route's shadow is counted, apart from every live arm; None without one."""
        return None if route.shadow is None else self._arm(route, SHADOW)

    def forget(self, release: str) -> None:
        """Drops what was counted for a release that is over."""
        for key in [key for key in self._arms if key[0] == release]:
            self._drop(key)

    def snapshot(self) -> ReleaseSnapshot:
        return ReleaseSnapshot({ArmKey(*key): arm.snapshot() for key, arm in self._arms.items()})

    def _arm(self, route: Route, name: str) -> ArmCounters:
        key = (route.release, route.step, name)
        arm = self._arms.get(key)
        if arm is None:
            if len(self._arms) >= MAX_ARMS:
                self._drop(self._least_needed())
            cell = None if self._slots is None else self._slots.take(*key)
            arm = self._arms[key] = ArmCounters(route.cells, cell, self._erred)
        return arm

    def _least_needed(self) -> tuple[str, int, str]:
        newest = {release: step for release, step, _ in self._arms}  # in the order in which they began
        return next((key for key in self._arms if newest[key[0]] != key[1]), next(iter(self._arms)))

    def _drop(self, key: tuple[str, int, str]) -> None:
        del self._arms[key]
        if self._slots is not None:
            self._slots.give_back(*key)

    def _erred(self) -> None:
        if self.on_error is not None:
            self.on_error()
