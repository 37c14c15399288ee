"""Where releases are kept: one for each public name, the last one, and a log of what became of all of them.

Whoever changes a release reads it, decides (`release.advance`), and writes it back with the revision that it read: of
two writers one is refused and decides again. So an API process may carry out a person's command while a controller
carries out the plan.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from services.shared.errors import Conflict, InvalidInput, NotFound
from services.shared.release.advance import Event
from services.shared.release.plan import Plan
from services.shared.release.state import ReleaseState

NEVER = -1  # a revision that no store has
MAX_PAGE = 1000


@dataclass(frozen=True, slots=True)
class Release:
    """A plan with its state. `revision` is the store's to give, 0 before the first write. An archived one is over and
    no longer shown; it changes no routing."""

    plan: Plan
    state: ReleaseState
    revision: int = 0
    archived: bool = False


@dataclass(frozen=True, slots=True)
class Releases:
    """All releases by public name, archived ones too, at one revision of the store. `unreadable` are the names whose
    release this version of the software cannot read."""

    revision: int = 0
    by_model: Mapping[str, Release] = field(default_factory=dict)
    unreadable: frozenset[str] = frozenset()


class ReleaseStore(Protocol):
    """Every method is atomic, and raises Unavailable when the store cannot be used.

    The store's revision is 0 while nothing was ever written, and goes up with every write; the release that was written
    gets it too. One that is used once does not come again, not even in a store that has lost its data.
    """

    async def get(self, model: str) -> Release:
        """Raises NotFound."""
        ...

    async def list(self) -> Releases: ...

    async def put(self, release: Release, *, expected_revision: int, event: Event | None = None) -> Release:
        """Writes the release of its plan's model, adds the event to the log, and gives the release with its new
        revision. `expected_revision` is that of the release which it replaces, 0 where there is none.

        Raises Conflict when another writer was first: then nothing is written. A write whose answer is lost on the way
        may raise it too, or Unavailable: read again and see.
        """
        ...

    async def events(self, model: str, *, start: int = 0, limit: int = 100) -> tuple[Event, ...]:
        """The log of a public name, the oldest first, from index `start` on. It is only ever added to."""
        ...

    async def changed(self, since: int, *, timeout_s: float) -> int:
        """The store's revision: as soon as it is another than `since`, or after `timeout_s`."""
        ...

    async def close(self) -> None: ...


def no_such_release(model: str) -> NotFound:
    return NotFound(f"there is no release of {model!r}", field="model")


def another_writer(model: str, expected: int, revision: int) -> Conflict:
    there = f"revision {revision}" if revision else "no release"
    return Conflict(f"{model} has {there}, not revision {expected}: read it again")


def check_page(start: int, limit: int) -> None:
    """Raises InvalidInput."""
    if start < 0:
        raise InvalidInput(f"{start} is no place in a list: use 0 or more", field="start")
    if not 1 <= limit <= MAX_PAGE:
        raise InvalidInput(f"{limit} is no length of a page: use 1 to {MAX_PAGE}", field="limit")
