"""A release and an event as JSON documents. A release's revision is not in its document: the store keeps it beside."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import orjson

from services.shared.errors import InvalidInput
from services.shared.model_ref import ModelRef
from services.shared.release.advance import Event
from services.shared.release.parse_plan import parse_plan, plan_document
from services.shared.release.state import Phase, ReleaseState
from services.shared.release_store.base import Release

_FORMAT = 1
_EVENT = frozenset(field.name for field in fields(Event))


def release_to_json(release: Release) -> bytes:
    return orjson.dumps(
        {
            "format": _FORMAT,
            "plan": plan_document(release.plan),
            "state": _state_to(release.state),
            "archived": release.archived,
        }
    )


def release_from_json(data: bytes, revision: int) -> Release:
    """Raises ValueError for a document that this version's `release_to_json` did not make."""
    try:
        document = orjson.loads(data)
        if document["format"] != _FORMAT:
            raise ValueError(f"format {document['format']!r} is not {_FORMAT}")
        plan, state = parse_plan(document["plan"]), _state_from(document["state"])
        if len(state.weights) != len(plan.arms):
            raise ValueError(f"{len(state.weights)} weights are not one for each of {len(plan.arms)} arms")
        return Release(plan, state, revision, document["archived"])
    except (ValueError, KeyError, TypeError, AttributeError, InvalidInput) as error:
        raise ValueError(f"a release cannot be read: {error!r}") from error


def event_to_json(event: Event) -> bytes:
    return orjson.dumps(event)  # a flat dataclass of what JSON has


def event_from_json(data: bytes | str) -> Event:
    document = {name: value for name, value in orjson.loads(data).items() if name in _EVENT}  # of a later version
    before = document.pop("before")
    return Event(before=before and Phase(before), phase=Phase(document.pop("phase")), **document)


def _state_to(state: ReleaseState) -> dict[str, Any]:
    return {
        "release": state.release,
        "phase": state.phase.value,
        "stable": str(state.stable),
        "default_before": str(state.default_before),
        "salt": state.salt.hex(),
        "weights": list(state.weights),
        "created_at": state.created_at,
        "since": state.since,
        "reason": state.reason,
        "shadow": state.shadow,
        "step": state.step,
        "loaded_before": sorted(map(str, state.loaded_before)),
        "failed": state.failed,
        "winner": state.winner,
        "settled": state.settled,
        "cells": list(state.cells),
    }


def _state_from(document: dict[str, Any]) -> ReleaseState:
    return ReleaseState(
        **{
            **document,
            "phase": Phase(document["phase"]),
            "stable": ModelRef.parse(document["stable"]),
            "default_before": ModelRef.parse(document["default_before"]),
            "salt": bytes.fromhex(document["salt"]),
            "weights": tuple(document["weights"]),
            "loaded_before": frozenset(map(ModelRef.parse, document["loaded_before"])),
            "cells": tuple(document["cells"]),
        }
    )
