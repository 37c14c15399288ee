"""Observations in this process, for tests and for one process alone."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping

import orjson

from services.shared.feedback import FeedbackClaim
from services.shared.model_ref import ModelRef
from services.shared.observations.base import (
    MAX_POINTS,
    Evidence,
    FeedbackTotals,
    Look,
    Point,
    check_feedback,
)
from services.shared.observations.document import (
    arm_to_json,
    feedback_field,
    feedback_increments,
    feedback_of,
    feedback_totals,
    field_of,
    keys_field_of,
    keys_to_json,
    look_from_json,
    look_to_json,
    point_from_json,
    point_to_json,
)
from services.shared.observations.gathered import Gathered
from services.shared.release.release_counters import ArmKey, ReleaseSnapshot


class MemoryObservationStore:
    """Keeps documents, so that what cannot be written elsewhere cannot be written here."""

    def __init__(self) -> None:
        self._documents: dict[str, dict[str, bytes]] = {}
        self._gathered: dict[str, Gathered] = {}
        self._feedback: dict[str, dict[str, str]] = {}
        self._outside: dict[str, dict[str, str]] = {}
        self._counted: set[bytes] = set()
        self._looks: dict[str, bytes] = {}
        self._points: dict[str, list[bytes]] = {}

    async def close(self) -> None:
        """Nothing is open."""

    async def publish(self, incarnation: str, totals: ReleaseSnapshot) -> None:
        for key, snapshot in totals.arms.items():
            documents = self._documents.setdefault(key.release, {})
            for field, document in (
                (field_of(incarnation, key), arm_to_json(snapshot)),
                (keys_field_of(incarnation, key), keys_to_json(snapshot.keys)),
            ):
                if documents.get(field) != document:
                    documents[field] = document
                    self._of(key.release).take(field, orjson.loads(document))

    async def evidence(self, releases: Collection[str]) -> Mapping[str, Evidence]:
        return {release: self._of(release).evidence() for release in releases}

    async def feedback(self, claim: FeedbackClaim, token: str, *, right: bool | None, reward: float | None) -> bool:
        check_feedback(right, reward)
        digest = hashlib.blake2b(token.encode(), digest_size=16).digest()
        if digest in self._counted:
            return False
        self._counted.add(digest)
        added = feedback_increments(right, reward)
        if not claim.release:
            _add(self._outside.setdefault(str(claim.ref), {}), added)
            return True
        key = ArmKey(claim.release, claim.step, claim.arm)
        counted = self._feedback.setdefault(claim.release, {})
        _add(counted, {feedback_field(key, what): amount for what, amount in added.items()})
        self._of(claim.release).take_feedback(feedback_of(claim.release, counted))
        return True

    async def feedback_outside(self) -> Mapping[ModelRef, FeedbackTotals]:
        return {ModelRef.parse(ref): feedback_totals(values) for ref, values in self._outside.items()}

    async def keep_look(self, release: str, look: Look) -> None:
        self._looks[release] = look_to_json(look)

    async def keep_looks(self, looks: Mapping[str, Look]) -> None:
        self._looks.update({release: look_to_json(look) for release, look in looks.items()})

    async def looks(self, releases: Collection[str]) -> Mapping[str, Look]:
        return {release: look_from_json(self._looks[release]) for release in releases if release in self._looks}

    async def add_point(self, release: str, point: Point) -> None:
        points = self._points.setdefault(release, [])
        points.append(point_to_json(point))
        del points[:-MAX_POINTS]

    async def points(self, release: str) -> tuple[Point, ...]:
        return tuple(map(point_from_json, self._points.get(release, ())))

    async def forget(self, release: str) -> None:
        for kept in (self._documents, self._gathered, self._feedback, self._looks, self._points):
            kept.pop(release, None)

    def _of(self, release: str) -> Gathered:
        return self._gathered.setdefault(release, Gathered(release))


def _add(counted: dict[str, str], added: Mapping[str, str]) -> None:
    for name, amount in added.items():
        whole = amount.isdecimal()
        before = counted.get(name, "0")
        counted[name] = str(int(before) + int(amount)) if whole else repr(float(before) + float(amount))
