"""One release's totals as they come in, document by document: only arms of which one is new are merged anew."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from functools import reduce
from typing import Any

from services.shared.observations.base import Evidence, FeedbackTotals
from services.shared.observations.document import arm_from_document, arm_of, counts_field_of, keys_from_document
from services.shared.release.arm_snapshot import ArmSnapshot
from services.shared.release.distinct_keys import NO_KEYS, DistinctKeysSnapshot
from services.shared.release.release_counters import ArmKey, ReleaseSnapshot

_log = logging.getLogger(__name__)


class Gathered:
    """Belongs to one task at a time."""

    def __init__(self, release: str) -> None:
        self._release = release
        self._fields: dict[str, tuple[str, ArmKey] | None] = {}  # what each tells of, None where that cannot be read
        self._by_arm: dict[ArmKey, dict[str, ArmSnapshot]] = {}
        self._keys_by_arm: dict[ArmKey, dict[str, DistinctKeysSnapshot]] = {}
        self._keys: dict[ArmKey, DistinctKeysSnapshot] = {}
        self._arms: dict[ArmKey, ArmSnapshot] = {}
        self._feedback: Mapping[ArmKey, FeedbackTotals] = {}
        self._changed: set[ArmKey] = set()
        self._changed_keys: set[ArmKey] = set()
        self._evidence: Evidence | None = Evidence()

    def __len__(self) -> int:
        """How many documents are known, those that cannot be read too."""
        return len(self._fields)

    def take(self, field: str, document: Any) -> None:
        """One that was written by another version of the software counts as nothing, and the log says so."""
        try:
            counts_field = counts_field_of(field)
            incarnation, key = self._of(field, counts_field or field)
            if counts_field:
                self._take_keys(key, incarnation, keys_from_document(document))
            else:
                snapshot = arm_from_document(document, self._keys.get(key, NO_KEYS))
                self._by_arm.setdefault(key, {})[incarnation] = snapshot
                self._changed.add(key)
                if "keys" in document:  # as all documents once had them
                    self._take_keys(key, incarnation, snapshot.keys)
        except ValueError as error:
            _log.error("totals of a release cannot be read", extra={"release": self._release, "reason": str(error)})
            return
        self._evidence = None

    def _of(self, field: str, counts_field: str) -> tuple[str, ArmKey]:
        known = self._fields.setdefault(field, None)
        if known is None:
            known = self._fields[field] = arm_of(self._release, counts_field)
        return known

    def _take_keys(self, key: ArmKey, incarnation: str, keys: DistinctKeysSnapshot) -> None:
        self._keys_by_arm.setdefault(key, {})[incarnation] = keys
        self._changed_keys.add(key)

    def take_feedback(self, feedback: Mapping[ArmKey, FeedbackTotals]) -> None:
        self._feedback = feedback
        self._evidence = None

    def evidence(self) -> Evidence:
        """The same object while nothing new has come."""
        if self._evidence is None:
            for key in self._changed_keys:
                self._keys[key] = reduce(DistinctKeysSnapshot.merge, self._keys_by_arm[key].values())
            for key in self._changed | (self._changed_keys & self._by_arm.keys()):
                merged = reduce(ArmSnapshot.merge, self._by_arm[key].values())
                # Most often all that were put together have this very object, and nothing is to be done.
                keys = self._keys.get(key, NO_KEYS)
                self._arms[key] = merged if keys is merged.keys else replace(merged, keys=keys)
            self._changed.clear()
            self._changed_keys.clear()
            self._evidence = Evidence(ReleaseSnapshot(dict(self._arms)), self._feedback)
        return self._evidence
