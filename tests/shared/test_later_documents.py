"""While one version replaces another, the older one reads what the newer one writes."""

from __future__ import annotations

import orjson

from services.shared.fleet.base import Heartbeat, RefReport
from services.shared.fleet.document import heartbeat_from_json, heartbeat_to_json
from services.shared.jobs.document import (
    item_from_json,
    item_to_json,
    request_from_json,
    request_to_json,
    result_from_json,
    result_to_json,
)
from services.shared.jobs.job import Idempotency, Item, ItemError, ItemResult, JobRequest, NewJob
from services.shared.jobs.manifest import manifest_of, new_job_from
from services.shared.model_ref import ModelRef
from services.shared.release.advance import Event
from services.shared.release.state import Phase
from services.shared.release_store.release_document import event_from_json, event_to_json

REQUEST = JobRequest("digits", version=2, top_k=3)
ITEM = Item("job/" + "0" * 32, "a.png", "key")


def later(document: bytes) -> bytes:
    """The same, with a field that is not known yet."""
    return orjson.dumps({**orjson.loads(document), "later": [1]})


def test_a_job_keeps_what_is_known_of_it() -> None:
    assert request_from_json(later(request_to_json(REQUEST))) == REQUEST
    assert item_from_json(orjson.dumps([*orjson.loads(item_to_json(ITEM)), "later"])) == ITEM
    error = ItemResult(0, error=ItemError("abandoned", "it died"), name="a.png")
    document = orjson.loads(later(result_to_json(error)))
    document["error"]["later"] = 1
    assert result_from_json(0, "a.png", orjson.dumps(document)) == error


def test_a_manifest_makes_the_job_that_it_was() -> None:
    new = NewJob("job", "", REQUEST, (ITEM,), 8, Idempotency("key", "digest"))
    manifest = orjson.loads(manifest_of(new, 1.0))
    manifest["idempotency"]["later"] = manifest["request"]["later"] = manifest["later"] = 1
    assert new_job_from(orjson.dumps(manifest)) == (new, 1.0)


def test_a_heartbeat_says_what_it_said() -> None:
    beat = Heartbeat("api-1", 1.0, 2, {ModelRef("digits", 1): RefReport(1, "loaded", "")})
    document = orjson.loads(later(heartbeat_to_json(beat)))
    document["reports"]["digits/1"].append("later")
    assert heartbeat_from_json(orjson.dumps(document)) == beat


def test_an_event_is_shown() -> None:
    event = Event(1.0, "r-1", "a person", None, Phase.PENDING, 0, 0.0, "it began")
    assert event_from_json(later(event_to_json(event))) == event
