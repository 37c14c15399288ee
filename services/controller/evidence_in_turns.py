"""The evidence of many releases in turns: a look at a hundred would otherwise keep a release that fails waiting."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from services.shared.observations.base import Evidence, ObservationStore

AT_ONCE = 50  # releases


class EvidenceInTurns:
    """Reads of at most AT_ONCE releases all at each look; of more, so many that each has its turn within `turns` looks,
    which are made as much sooner. What was never read is always read: no evidence is not the same as no answers."""

    def __init__(self, store: ObservationStore) -> None:
        self._store = store
        self._known: dict[str, Evidence] = {}  # those that were read longest ago first

    def forget(self) -> None:
        self._known = {}

    async def read(self, releases: Sequence[str]) -> Mapping[str, Evidence]:
        """Of each release, as it was read last: the same object where it is not its turn. Raises Unavailable."""
        asked = set(releases)
        known = {release: evidence for release, evidence in self._known.items() if release in asked}
        due = [release for release in releases if release not in known]
        due += list(known)[: max(math.ceil(len(releases) / turns_of(len(releases))) - len(due), 0)]
        fresh = await self._store.evidence(due)
        self._known = {release: evidence for release, evidence in known.items() if release not in fresh} | dict(fresh)
        return self._known


def turns_of(releases: int) -> int:
    """At how many looks each of so many releases is judged once."""
    return max(math.ceil(releases / AT_ONCE), 1)
