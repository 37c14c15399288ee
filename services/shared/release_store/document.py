"""A release's routing as a JSON document, the same wherever it is kept."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson

from services.shared.errors import InvalidInput
from services.shared.model_ref import ModelRef
from services.shared.release.routing import Arm, ReleaseRouting, Shadow, Sticky

_FORMAT = 1


def routings_to_json(routings: Iterable[ReleaseRouting]) -> bytes:
    document = {"format": _FORMAT, "releases": [_routing_to(routing) for routing in routings]}
    return orjson.dumps(document, option=orjson.OPT_INDENT_2)


def routings_from_json(data: bytes) -> tuple[ReleaseRouting, ...]:
    """Raises ValueError for a document that this version's `routings_to_json` did not make."""
    try:
        document = orjson.loads(data)
        if document["format"] != _FORMAT:
            raise ValueError(f"format {document['format']!r} is not {_FORMAT}")
        return tuple(_routing_from(release) for release in document["releases"])
    except (ValueError, KeyError, TypeError, AttributeError, InvalidInput) as error:
        raise ValueError(f"releases cannot be read: {error!r}") from error


def _routing_to(routing: ReleaseRouting) -> dict[str, Any]:
    shadow = routing.shadow
    return {
        "release": routing.release,
        "model": routing.model,
        "step": routing.step,
        "salt": routing.salt.hex(),
        "sticky": routing.sticky.value,
        "stable": str(routing.stable),
        "arms": [{"name": arm.name, "ref": str(arm.ref), "weight": arm.weight} for arm in routing.arms],
        "shadow": None if shadow is None else {"ref": str(shadow.ref), "share": shadow.share},
        "cells": list(routing.cells),
    }


def _routing_from(document: dict[str, Any]) -> ReleaseRouting:
    shadow = document["shadow"]
    return ReleaseRouting(
        release=document["release"],
        model=document["model"],
        step=document["step"],
        salt=bytes.fromhex(document["salt"]),
        sticky=Sticky(document["sticky"]),
        stable=ModelRef.parse(document["stable"]),
        arms=tuple(Arm(arm["name"], ModelRef.parse(arm["ref"]), arm["weight"]) for arm in document["arms"]),
        shadow=None if shadow is None else Shadow(ModelRef.parse(shadow["ref"]), shadow["share"]),
        cells=tuple(document["cells"]),
    )
