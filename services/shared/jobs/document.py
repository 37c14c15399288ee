"""A job's parts as JSON, the same in every store that keeps them outside the process.

While one version replaces another both read what both write. So a field that is not known here is passed over, and one
that is added must have a default, and be left out where it has it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

import orjson

from services.shared.errors import Unavailable
from services.shared.jobs.job import Item, ItemError, ItemResult, JobRequest
from services.shared.priority import Priority

_ITEM_FIELDS = len(fields(Item))


def known(kind: type[Any], document: Mapping[str, Any]) -> dict[str, Any]:
    """Those of a document's fields that a dataclass has."""
    names = {field.name for field in fields(kind)}
    return {name: value for name, value in document.items() if name in names}


def request_to_json(request: JobRequest) -> bytes:
    document = asdict(request)
    if not request.trace:
        del document["trace"]
    return orjson.dumps(document)


def request_from_json(data: bytes) -> JobRequest:
    """Raises Unavailable for a document that this version cannot read."""
    try:
        document = known(JobRequest, orjson.loads(data))
        return JobRequest(**{**document, "priority": Priority(document["priority"])})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Unavailable(f"a stored job cannot be read: {error}") from error


def item_to_json(item: Item) -> bytes:
    return orjson.dumps([item.blob_id, item.name, item.routing_key, item.url])


def item_from_json(data: bytes) -> Item:
    """Raises Unavailable for a document that this version cannot read."""
    return items_from_json((data,))[0]


def items_from_json(documents: Sequence[bytes]) -> tuple[Item, ...]:
    """Raises Unavailable for a document that this version cannot read."""
    try:
        found = orjson.loads(b"[%b]" % b",".join(documents))
        return tuple([Item(*each[:_ITEM_FIELDS]) for each, _ in zip(found, documents, strict=True)])
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
            return ItemResult(index, error=ItemError(**known(ItemError, document["error"])), name=name)
        return ItemResult(index, result=document["result"], name=name)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Unavailable(f"a stored result cannot be read: {error}") from error
