"""Versions that are wished for and that the model server does not have.

Our own model server follows the desired set that it shares with the API. Any other server forgets at its end what it
was told to load, and knows nothing of releases, so it is asked for what is missing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping

from services.shared.errors import ServingError
from services.shared.fleet.base import Desired
from services.shared.model_ref import ModelRef

_log = logging.getLogger(__name__)

SETTLE_S = 1.0  # missing for so long is missing: an unload by somebody is first the server's, then the desired set's
REFUSED_S = 30.0  # how long a name is left alone that the server could not load

BringBack = Callable[[str, Iterable[int]], Awaitable[None]]


def by_name(refs: Iterable[ModelRef]) -> dict[str, tuple[int, ...]]:
    """The versions of each name, ascending."""
    names: dict[str, tuple[int, ...]] = {}
    for ref in sorted(refs):
        names[ref.name] = (*names.get(ref.name, ()), ref.version)
    return names


class WishedVersions:
    """`bring_back` loads versions of a name where the server does not follow the desired set, else it does nothing;
    what it raises is told to nobody but the log. None: the server is never asked.

    Wished for are the versions of the desired set, always; and a default, when the server was away: at other times
    somebody has unloaded it.
    """

    def __init__(self, bring_back: BringBack | None) -> None:
        self._bring_back = bring_back
        self._was_away = True
        self._owed: frozenset[ModelRef] = frozenset()
        self._since: dict[ModelRef, float] = {}  # what is missing, and since when by the loop's time
        self._left_alone: dict[str, float] = {}  # names, and until when
        self._asking: asyncio.Task[None] | None = None

    def server_is_away(self) -> None:
        self._was_away = True

    def unwish(self, refs: Iterable[ModelRef]) -> None:
        """Somebody wants to be rid of these."""
        self._owed = self._owed.difference(refs)

    def look(self, desired: Desired, ready: frozenset[ModelRef]) -> None:
        """Asks for what is missing, in the background: a load may take minutes."""
        if self._was_away:
            self._owed, self._was_away = frozenset(desired.defaults.values()), False
        self._owed -= ready
        now = asyncio.get_running_loop().time()
        self._since = {ref: self._since.get(ref, now) for ref in self._owed.union(desired.loaded) - ready}
        missing = by_name(ref for ref, since in self._since.items() if now - since >= SETTLE_S)
        due = {name: versions for name, versions in missing.items() if self._left_alone.get(name, now) <= now}
        if due and self._bring_back and (self._asking is None or self._asking.done()):
            self._asking = asyncio.create_task(self._ask(self._bring_back, due), name="versions wished for")

    async def close(self) -> None:
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)

    async def _ask(self, bring_back: BringBack, missing: Mapping[str, tuple[int, ...]]) -> None:
        for name, versions in missing.items():
            try:
                await bring_back(name, versions)
            except ServingError as error:
                self._left_alone[name] = asyncio.get_running_loop().time() + REFUSED_S
                about = {"model": name, "versions": versions, "reason": error.detail}
                _log.warning("the model server does not load what is wished for", extra=about)
