"""A look, a point and an arm's totals as JSON documents, the same wherever they are kept."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import orjson

from services.shared.observations.base import FeedbackTotals, Look, Point, PointArm
from services.shared.release.analysis import AnalysisState
from services.shared.release.arm_snapshot import ArmSnapshot
from services.shared.release.distinct_keys import NO_KEYS, DistinctKeysSnapshot
from services.shared.release.mean_evidence import Sample
from services.shared.release.release_counters import ArmKey

_FORMAT = 1
_KEYS = "#keys"  # no arm's name has it


def field_of(incarnation: str, key: ArmKey) -> str:
    """What an incarnation's totals of an arm are called within a release."""
    return f"{incarnation}/{key.step}/{key.arm}"


def arm_of(release: str, field: str) -> tuple[str, ArmKey]:
    """The incarnation and the arm; raises ValueError for what `field_of` did not make."""
    incarnation, step, arm = field.rsplit("/", 2)
    return incarnation, ArmKey(release, int(step), arm)


def keys_field_of(incarnation: str, key: ArmKey) -> str:
    """What the distinct keys of the same are called, which are a document of their own: they change less often."""
    return field_of(incarnation, key) + _KEYS


def counts_field_of(field: str) -> str:
    """The field of the totals that a field of keys belongs to; empty for a field of another kind."""
    return field.removesuffix(_KEYS) if field.endswith(_KEYS) else ""


def arm_to_json(snapshot: ArmSnapshot) -> bytes:
    """Without its distinct keys."""
    return orjson.dumps(snapshot.counts_to_json())


def keys_to_json(keys: DistinctKeysSnapshot) -> bytes:
    return orjson.dumps(keys.to_json())


def keys_from_document(document: Any) -> DistinctKeysSnapshot:
    """Raises ValueError for a document that `keys_to_json` did not make."""
    try:
        return DistinctKeysSnapshot.from_json(document)
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"an arm's distinct keys cannot be read: {error!r}") from error


def arm_from_document(document: Any, keys: DistinctKeysSnapshot = NO_KEYS) -> ArmSnapshot:
    """With these distinct keys. Raises ValueError for a document that `arm_to_json` did not make."""
    try:
        return ArmSnapshot.from_json(document, keys)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"an arm's totals cannot be read: {error!r}") from error


def look_to_json(look: Look) -> bytes:
    """NaN and the infinities become null."""
    analyses = [analysis.to_json() for analysis in look.analyses]
    return orjson.dumps({"format": _FORMAT, "at": look.at, "analyses": analyses, "report": look.report})


def look_from_json(data: bytes) -> Look:
    """Raises ValueError for a document that this version's `look_to_json` did not make."""
    try:
        document = orjson.loads(data)
        if document["format"] != _FORMAT:
            raise ValueError(f"format {document['format']!r} is not {_FORMAT}")
        return Look(document["at"], tuple(map(AnalysisState.from_json, document["analyses"])), document["report"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"a look cannot be read: {error!r}") from error


def point_to_json(point: Point) -> bytes:
    return orjson.dumps({"format": _FORMAT, **dataclasses.asdict(point)})


def point_from_json(data: bytes) -> Point:
    """Raises ValueError for a document that this version's `point_to_json` did not make."""
    try:
        document = orjson.loads(data)
        if document.pop("format") != _FORMAT:
            raise ValueError("it has another format")
        arms = {name: _point_arm(arm) for name, arm in document["arms"].items()}
        return Point(**{**document, "arms": arms})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"a point cannot be read: {error!r}") from error


def feedback_field(key: ArmKey, what: str) -> str:
    return f"{key.step}/{key.arm}/{what}"


def feedback_of(release: str, fields: Mapping[str, str]) -> dict[ArmKey, FeedbackTotals]:
    """What was counted under the names that `feedback_field` gives."""
    found: dict[ArmKey, dict[str, str]] = {}
    for name, value in fields.items():
        step, arm, what = name.split("/", 2)
        found.setdefault(ArmKey(release, int(step), arm), {})[what] = value
    return {key: feedback_totals(values) for key, values in found.items()}


def feedback_totals(values: Mapping[str, str]) -> FeedbackTotals:
    rewards = Sample(int(values.get("rewards", 0)), float(values.get("total", 0)), float(values.get("squares", 0)))
    return FeedbackTotals(int(values.get("labelled", 0)), int(values.get("right", 0)), rewards)


def feedback_increments(right: bool | None, reward: float | None) -> dict[str, str]:
    """What one token adds, by name; exact as a text."""
    added: dict[str, str] = {}
    if right is not None:
        added |= {"labelled": "1", "right": str(int(right))}
    if reward is not None:
        added |= {"rewards": "1", "total": repr(float(reward)), "squares": repr(float(reward) ** 2)}
    return added


def _point_arm(document: Mapping[str, Any]) -> PointArm:
    known: dict[str, Any] = {name: math.nan if value is None else value for name, value in document.items()}
    return PointArm(**known)
