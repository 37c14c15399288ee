"""Keys as JSON, the same in every store that keeps them outside the process."""

from __future__ import annotations

from typing import Any

import orjson

from services.shared.errors import Unavailable
from services.shared.keys.base import ApiKey, KeySet, Scope


def key_to_document(key: ApiKey) -> dict[str, Any]:
    return {
        "key_id": key.key_id,
        "name": key.name,
        "scopes": sorted(key.scopes),
        "sha256": key.hash,
        "created_at": key.created_at,
        "revoked_at": key.revoked_at,
        "rate_per_s": key.rate_per_s,
        "burst": key.burst,
        "daily_quota": key.daily_quota,
        "webhook_secret": key.webhook_secret,
    }


def key_from_document(document: dict[str, Any]) -> ApiKey:
    """Raises KeyError, TypeError or ValueError for what is not one."""
    return ApiKey(
        key_id=document["key_id"],
        name=document["name"],
        scopes=frozenset(Scope(scope) for scope in document["scopes"]),
        hash=document["sha256"],
        created_at=document["created_at"],
        revoked_at=document["revoked_at"],
        rate_per_s=document["rate_per_s"],
        burst=document["burst"],
        daily_quota=document["daily_quota"],
        webhook_secret=document["webhook_secret"],
    )


def keys_to_json(keys: KeySet) -> bytes:
    documents = [key_to_document(key) for key in keys.by_id.values()]
    return orjson.dumps({"keys": documents}, option=orjson.OPT_INDENT_2)


def keys_from_json(data: bytes) -> KeySet:
    """Raises Unavailable for a document that this version cannot read: nobody is let in by a damaged file."""
    try:
        return KeySet.of(key_from_document(document) for document in orjson.loads(data)["keys"])
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise Unavailable("the stored keys cannot be read: the file is damaged or of another version") from error


def key_to_json(key: ApiKey) -> bytes:
    return orjson.dumps(key_to_document(key))


def key_from_json(data: bytes) -> ApiKey:
    """Raises Unavailable for a document that this version cannot read."""
    try:
        return key_from_document(orjson.loads(data))
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise Unavailable("a stored key cannot be read: it is damaged or of another version") from error
