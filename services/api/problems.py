"""Every error as `application/problem+json` (RFC 9457): one table from cause to status."""

from __future__ import annotations

import math
from dataclasses import dataclass

import orjson

from services.shared import errors

MEDIA_TYPE = b"application/problem+json"


@dataclass(frozen=True, slots=True)
class ProblemKind:
    """How a cause is shown: its HTTP status, the last part of its `type`, and its title."""

    status: int
    slug: str
    title: str


# Looked up along the class's bases, so a cause without a row of its own is shown as its parent.
KINDS: dict[type[errors.ServingError], ProblemKind] = {
    errors.InvalidInput: ProblemKind(400, "invalid-input", "The request cannot be understood"),
    errors.UndecodableImage: ProblemKind(422, "undecodable-image", "The image cannot be decoded"),
    errors.UnsupportedMediaType: ProblemKind(415, "unsupported-media-type", "This kind of body is not read here"),
    errors.TooLarge: ProblemKind(413, "too-large", "The request is larger than the limits allow"),
    errors.NotFound: ProblemKind(404, "not-found", "There is nothing by that name"),
    errors.Unauthenticated: ProblemKind(401, "unauthenticated", "A key is needed"),
    errors.Forbidden: ProblemKind(403, "forbidden", "The key does not allow this"),
    errors.RateLimited: ProblemKind(429, "rate-limited", "Over the rate or quota"),
    errors.BodyTimeout: ProblemKind(408, "body-timeout", "The body came too slowly"),
    errors.Conflict: ProblemKind(409, "conflict", "Something else was first"),
    errors.Stale: ProblemKind(412, "stale", "It is not as the request says it was seen"),
    errors.Unavailable: ProblemKind(503, "unavailable", "Not available now"),
    errors.NotReady: ProblemKind(503, "not-ready", "Not ready"),
    errors.Overloaded: ProblemKind(503, "overloaded", "Too much work is waiting"),
    errors.DeadlineExceeded: ProblemKind(504, "deadline-exceeded", "The deadline passed"),
    errors.Unsupported: ProblemKind(501, "unsupported", "Not supported"),
    errors.InferenceFailed: ProblemKind(500, "inference-failed", "The model failed"),
    errors.ServingError: ProblemKind(500, "internal", "Internal error"),
}


def kind_of(error: errors.ServingError) -> ProblemKind:
    """The table's row for an error's class or the nearest of its bases."""
    return next(KINDS[base] for base in type(error).__mro__ if base in KINDS)


@dataclass(frozen=True, slots=True)
class Problem:
    """An error ready to be sent."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


def problem(error: errors.ServingError, request_id: str, *, status: int | None = None) -> Problem:
    """The response for an error, with `Retry-After` (whole seconds, at least 1) where trying again may help.

    `status` stands in for the table's, for what HTTP itself refuses (405 and the like).
    """
    kind = kind_of(error)
    if status is not None:
        kind = ProblemKind(status, f"http-{status}", error.detail)
    document: dict[str, object] = {
        "type": f"urn:grayscale:problem:{kind.slug}",
        "title": kind.title,
        "status": kind.status,
        "detail": error.detail,
        "request_id": request_id,
    }
    if error.field is not None:
        document["errors"] = [{"field": error.field, "detail": error.detail}]
    body = orjson.dumps(document)
    headers = [(b"content-type", MEDIA_TYPE), (b"content-length", str(len(body)).encode())]
    retry_after_s = error.retry_after_s
    if retry_after_s is None and kind.status in (429, 503):
        retry_after_s = 1.0
    if retry_after_s is not None:
        headers.append((b"retry-after", str(max(1, math.ceil(retry_after_s))).encode()))
    if kind.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    return Problem(kind.status, headers, body)
