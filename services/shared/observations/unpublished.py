"""What an incarnation of a process has counted and not yet published. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from services.shared.observations.document import arm_to_json, field_of
from services.shared.release.arm_snapshot import ArmSnapshot
from services.shared.release.release_counters import ArmKey, ReleaseSnapshot


@dataclass(frozen=True, slots=True)
class Part:
    """Documents of one release by field. `witness` is a field that was written before and is not now, empty where there
    is none: if it is gone, so may be others."""

    release: str
    witness: str
    documents: Mapping[str, bytes]
    arms: Mapping[ArmKey, ArmSnapshot]


class Unpublished:
    """Remembers what was published of the arms that are still counted."""

    def __init__(self, incarnation: str) -> None:
        self._incarnation = incarnation
        self._published: dict[ArmKey, ArmSnapshot] = {}

    def since_last(self, totals: ReleaseSnapshot) -> list[Part]:
        """What differs, by release."""
        self._published = {key: arm for key, arm in self._published.items() if key in totals.arms}
        changed: dict[str, dict[ArmKey, ArmSnapshot]] = {}
        witnesses: dict[str, str] = {}
        for key, arm in totals.arms.items():
            if self._published.get(key) == arm:
                witnesses[key.release] = field_of(self._incarnation, key)
            else:
                changed.setdefault(key.release, {})[key] = arm
        return [
            Part(
                release,
                witnesses.get(release, ""),
                {field_of(self._incarnation, key): arm_to_json(arm) for key, arm in arms.items()},
                arms,
            )
            for release, arms in changed.items()
        ]

    def published(self, parts: Iterable[Part]) -> None:
        for part in parts:
            self._published.update(part.arms)

    def forget(self, releases: Iterable[str]) -> None:
        """Whatever was published of them is to be published again."""
        gone = set(releases)
        self._published = {key: arm for key, arm in self._published.items() if key.release not in gone}
