"""One release's totals as they come in, document by document: only arms of which one is new are merged anew."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from services.shared.observations.base import Evidence, FeedbackTotals
from services.shared.observations.document import arm_from_document, arm_of
from services.shared.release.arm_snapshot import ArmSnapshot
from services.shared.release.release_counters import ArmKey, ReleaseSnapshot

_log = logging.getLogger(__name__)


class Gathered:
    """Belongs to one task at a time."""

    def __init__(self, release: str) -> None:
        self._release = release
        self._fields: set[str] = set()
        self._by_arm: dict[ArmKey, dict[str, ArmSnapshot]] = {}
        self._arms: dict[ArmKey, ArmSnapshot] = {}
        self._feedback: Mapping[ArmKey, FeedbackTotals] = {}
        self._changed: set[ArmKey] = set()
        self._evidence: Evidence | None = Evidence()

    def __len__(self) -> int:
        """How many documents are known, those that cannot be read too."""
        return len(self._fields)

    def take(self, field: str, document: Any) -> None:
        """One that was written by another version of the software counts as nothing, and the log says so."""
        self._fields.add(field)
        try:
            incarnation, key = arm_of(self._release, field)
            snapshot = arm_from_document(document)
        except ValueError as error:
            _log.error("totals of a release cannot be read", extra={"release": self._release, "reason": str(error)})
            return
        self._by_arm.setdefault(key, {})[incarnation] = snapshot
        self._changed.add(key)
        self._evidence = None

    def take_feedback(self, feedback: Mapping[ArmKey, FeedbackTotals]) -> None:
        self._feedback = feedback
        self._evidence = None

    def evidence(self) -> Evidence:
        """The same object while nothing new has come."""
        if self._evidence is None:
            for key in self._changed:
                merged, *others = self._by_arm[key].values()
                for other in others:
                    merged = merged.merge(other)
                self._arms[key] = merged
            self._changed.clear()
            self._evidence = Evidence(ReleaseSnapshot(dict(self._arms)), self._feedback)
        return self._evidence
