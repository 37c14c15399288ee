"""What an incarnation of a process has counted and not yet published. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from services.shared.observations.document import arm_to_json, field_of, keys_field_of, keys_to_json
from services.shared.release.arm_snapshot import ArmSnapshot
from services.shared.release.distinct_keys import NO_KEYS
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
        documents: dict[str, dict[str, bytes]] = {}
        witnesses: dict[str, str] = {}
        for key, arm in totals.arms.items():
            before = self._published.get(key)
            if before == arm:
                witnesses[key.release] = field_of(self._incarnation, key)
                continue
            changed.setdefault(key.release, {})[key] = arm
            written = documents.setdefault(key.release, {})
            written[field_of(self._incarnation, key)] = arm_to_json(arm)
            if arm.keys == (NO_KEYS if before is None else before.keys):
                if arm.keys != NO_KEYS:
                    witnesses.setdefault(key.release, keys_field_of(self._incarnation, key))
            else:
                written[keys_field_of(self._incarnation, key)] = keys_to_json(arm.keys)
        return [
            Part(release, witnesses.get(release, ""), documents[release], arms) for release, arms in changed.items()
        ]

    def published(self, parts: Iterable[Part]) -> None:
        for part in parts:
            self._published.update(part.arms)

    def forget(self, releases: Iterable[str]) -> None:
        """Whatever was published of them is to be published again."""
        gone = set(releases)
        self._published = {key: arm for key, arm in self._published.items() if key.release not in gone}
