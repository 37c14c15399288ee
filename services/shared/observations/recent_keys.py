"""Distinct keys as they were a few seconds ago. Pure.

An arm's keys change with nearly every request, and take several times the room of all that is counted; what they are
for, the check of the split, is made every few seconds. So they are told as often, of all arms of a release at the same
moments: keys of one arm held against older ones of another would look like a wrong split.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import replace

from services.shared.release.arm_snapshot import ArmSnapshot
from services.shared.release.distinct_keys import DistinctKeysSnapshot
from services.shared.release.release_counters import ArmKey, ReleaseSnapshot

KEYS_S = 5.0


class RecentKeys:
    """Remembers what was told of the releases that are still counted."""

    def __init__(self) -> None:
        self._told: dict[str, dict[ArmKey, DistinctKeysSnapshot]] = {}
        self._due_s: dict[str, float] = {}

    def of(self, totals: ReleaseSnapshot, now_s: float) -> ReleaseSnapshot:
        """The totals, with the distinct keys that were counted at most KEYS_S ago; `now_s` is monotonic."""
        by_release: dict[str, dict[ArmKey, ArmSnapshot]] = {}
        for key, arm in totals.arms.items():
            by_release.setdefault(key.release, {})[key] = arm
        self._told = {release: self._keys_of(release, arms, now_s) for release, arms in by_release.items()}
        self._due_s = {release: self._due_s[release] for release in by_release}
        arms: dict[ArmKey, ArmSnapshot] = {}
        for key, arm in totals.arms.items():
            keys = self._told[key.release][key]
            arms[key] = arm if keys == arm.keys else replace(arm, keys=keys)
        return ReleaseSnapshot(arms)

    def _keys_of(
        self, release: str, arms: Mapping[ArmKey, ArmSnapshot], now_s: float
    ) -> dict[ArmKey, DistinctKeysSnapshot]:
        told = self._told.get(release)
        if told is not None and now_s < self._due_s[release] and arms.keys() <= told.keys():
            return told
        if told is None:  # releases that begin together do not stay together
            self._due_s[release] = now_s + KEYS_S * (zlib.crc32(release.encode()) % 1000) / 1000
        else:
            self._due_s[release] = now_s + KEYS_S
        return {key: arm.keys for key, arm in arms.items()}
