"""The fleet's state as JSON documents, the same in every store that keeps it outside the process."""

from __future__ import annotations

import orjson

from services.shared.errors import InvalidInput, Unavailable
from services.shared.fleet.base import NEVER, Desired, Heartbeat, RefReport
from services.shared.model_ref import ModelRef


def desired_to_json(desired: Desired) -> bytes:
    document = {
        "revision": desired.revision,
        "loaded": {str(ref): generation for ref, generation in sorted(desired.loaded.items())},
        "defaults": {name: str(ref) for name, ref in sorted(desired.defaults.items())},
    }
    return orjson.dumps(document, option=orjson.OPT_INDENT_2)


def desired_from_json(data: bytes) -> Desired:
    """Raises Unavailable for a document that this version cannot read."""
    try:
        document = orjson.loads(data)
        return Desired(
            revision=document["revision"],
            loaded={ModelRef.parse(ref): generation for ref, generation in document["loaded"].items()},
            defaults={name: ModelRef.parse(ref) for name, ref in document["defaults"].items()},
        )
    except (ValueError, KeyError, AttributeError, TypeError, InvalidInput) as error:
        raise Unavailable(f"the stored desired set cannot be read: {error}") from error


def heartbeat_to_json(heartbeat: Heartbeat) -> bytes:
    return orjson.dumps(
        {
            "process_id": heartbeat.process_id,
            "at": heartbeat.at,
            "seen_revision": heartbeat.seen_revision,
            "reports": {str(ref): [r.generation, r.state, r.reason] for ref, r in heartbeat.reports.items()},
            "routing_revision": heartbeat.routing_revision,
            "serves": heartbeat.serves,
        }
    )


def heartbeat_from_json(data: bytes) -> Heartbeat:
    """Raises Unavailable for a document that this version cannot read. A process that says nothing of releases does
    not follow them."""
    try:
        document = orjson.loads(data)
        return Heartbeat(
            process_id=document["process_id"],
            at=document["at"],
            seen_revision=document["seen_revision"],
            reports={ModelRef.parse(ref): RefReport(*report[:3]) for ref, report in document["reports"].items()},
            routing_revision=document.get("routing_revision", NEVER),
            serves=document.get("serves", True),
        )
    except (ValueError, KeyError, AttributeError, TypeError, InvalidInput) as error:
        raise Unavailable(f"a stored heartbeat cannot be read: {error}") from error
