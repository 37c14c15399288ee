"""The REST protocol's table from cause to status.

Source: `HttpCodeFromError` in triton-inference-server/server `http_server.cc`: INTERNAL 500, NOT_FOUND 404,
UNAVAILABLE 503 (a full queue and an expired timeout are such), UNSUPPORTED 501, all else 400.
"""

from __future__ import annotations

from services.shared.errors import (
    BodyTimeout,
    Conflict,
    DeadlineExceeded,
    Forbidden,
    InferenceFailed,
    InvalidInput,
    NotFound,
    RateLimited,
    ServingError,
    Unauthenticated,
    Unavailable,
    Unsupported,
)

STATUS: dict[type[ServingError], int] = {
    InvalidInput: 400,
    NotFound: 404,
    Unauthenticated: 401,
    Forbidden: 403,
    RateLimited: 429,
    BodyTimeout: 408,
    Conflict: 409,
    Unavailable: 503,
    DeadlineExceeded: 503,
    Unsupported: 501,
    InferenceFailed: 500,
}


def status_of(error: ServingError) -> int:
    """The status for an error, by its class or the nearest base in the table."""
    return next((STATUS[cause] for cause in type(error).__mro__ if cause in STATUS), 500)
