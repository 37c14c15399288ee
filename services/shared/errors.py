"""Why a request could not be answered. Each class is a cause; each transport owns one table from cause to code.

ServingError
├── InvalidInput              the caller must change the request
│   ├── UndecodableImage      bytes that claim to be an image and are not
│   ├── UnsupportedMediaType  a kind of body or image that is not read here
│   └── TooLarge              more bytes, pixels or images than the limits allow
├── NotFound                  no such model, version, job …
├── Unauthenticated           no key, or one that is not known
├── Forbidden                 a known key without the scope
├── RateLimited               over the rate or the quota of a key
├── BodyTimeout               the body came too slowly
├── Conflict                  another writer was first
│   └── Stale                 what the caller says it has seen is not how it is now
├── Unavailable               may work when tried again
│   ├── NotReady              nothing is loaded under that name yet, or the process is draining
│   └── Overloaded            a queue is full
├── DeadlineExceeded          the answer would have come too late
├── Unsupported               part of a protocol that is not served here
└── InferenceFailed           the model or its runtime broke; the detail says how
"""

from __future__ import annotations


class ServingError(Exception):
    """Base of every failure that reaches a caller.

    `detail` is a sentence that says what to change; `field` names the part of the request at fault;
    `retry_after_s` is set where trying again may help.
    """

    def __init__(self, detail: str, *, field: str | None = None, retry_after_s: float | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.field = field
        self.retry_after_s = retry_after_s


class InvalidInput(ServingError):
    """The caller must change the request."""


class UndecodableImage(InvalidInput):
    """Bytes that claim to be an image and cannot be read as one."""


class UnsupportedMediaType(InvalidInput):
    """A kind of body or image that is not read here."""


class TooLarge(InvalidInput):
    """More bytes, pixels or images than the limits allow."""


class NotFound(ServingError):
    """No such model, version, job or release."""


class Unauthenticated(ServingError):
    """No key, or one that is not known."""


class Forbidden(ServingError):
    """A known key without the scope that is needed."""


class RateLimited(ServingError):
    """Over the rate or the quota of a key."""


class BodyTimeout(ServingError):
    """The body came too slowly."""


class Conflict(ServingError):
    """Another writer was first, or the same key came with another body."""


class Stale(Conflict):
    """The caller named the revision that its change is meant for, and there is another one now."""


class Unavailable(ServingError):
    """May work when tried again."""


class NotReady(Unavailable):
    """Nothing is loaded under that name yet, or the process is draining."""


class Overloaded(Unavailable):
    """A queue is full; nothing was computed."""


class DeadlineExceeded(ServingError):
    """The answer would have come too late; queued work was not computed."""


class Unsupported(ServingError):
    """A part of a protocol that is not served here."""


class InferenceFailed(ServingError):
    """The model or its runtime broke while it loaded or ran."""
