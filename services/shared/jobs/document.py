"""A job's parts as JSON, the same in every store that keeps them outside the process."""

from __future__ import annotations

from dataclasses import asdict

import orjson

from services.shared.errors import Unavailable
from services.shared.jobs.job import Item, ItemError, ItemResult, JobRequest
from services.shared.priority import Priority


def request_to_json(request: JobRequest) -> bytes:
    fields = asdict(request)
    if not request.trace:  # a worker of an earlier version would not know what it is
        del fields["trace"]
    return orjson.dumps(fields)


def request_from_json(data: bytes) -> JobRequest:
    """Raises Unavailable for a document that this version cannot read."""
    try:
        fields = orjson.loads(data)
        return JobRequest(**{**fields, "priority": Priority(fields["priority"])})
    except (ValueError, KeyError, TypeError) as error:
        raise Unavailable(f"a stored job cannot be read: {error}") from error


def item_to_json(item: Item) -> bytes:
    return orjson.dumps([item.blob_id, item.name, item.routing_key, item.url])


def item_from_json(data: bytes) -> Item:
    """Raises Unavailable for a document that this version cannot read."""
    try:
        return Item(*orjson.loads(data))
    except (ValueError, TypeError) as error:
        raise Unavailable(f"a stored item cannot be read: {error}") from error


def result_to_json(result: ItemResult) -> bytes:
    """The result without its index and name, which are kept beside it."""
    if result.error is not None:
        return orjson.dumps({"error": asdict(result.error)})
    return orjson.dumps({"result": result.result})


def result_from_json(index: int, name: str, data: bytes) -> ItemResult:
    """Raises Unavailable for a document that this version cannot read."""
    try:
        document = orjson.loads(data)
        if "error" in document:
            return ItemResult(index, error=ItemError(**document["error"]), name=name)
        return ItemResult(index, result=document["result"], name=name)
    except (ValueError, KeyError, TypeError) as error:
        raise Unavailable(f"a stored result cannot be read: {error}") from error
