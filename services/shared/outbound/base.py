"""Requests to URLs that a caller chose. Off unless the operator lists hosts.

InvalidInput
├── UrlRefused            our rules do not allow it: nothing was sent to that place
│   └── NoUsableAddress   the name has no address, or has one that is refused: which of the two is not told
└── FetchFailed           the other side: unreachable, not to be trusted, or an answer that cannot be used

All of them are the caller's to change, so all are InvalidInput, with `field` "url". A detail never repeats an address
that a name resolved to, nor anything that the other side sent: it would make this client a map of the inside network.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from services.shared.errors import InvalidInput

FIELD = "url"


class UrlRefused(InvalidInput):
    """The rules for URLs, or the operator's list of hosts, do not allow it. Trying again gives the same."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail, field=FIELD)


class NoUsableAddress(UrlRefused):
    """One sentence for a name without an address and for an address that is refused.

    Were they told apart, a caller could list the names of a private network. Names change: a webhook may try again.
    """

    def __init__(self) -> None:
        super().__init__(
            "the host of the url does not resolve to addresses that may be used: use the name of a public server "
            "(the operator lists private ones in GRAYSCALE_ALLOWED_PRIVATE_NETWORKS)"
        )


class FetchFailed(InvalidInput):
    """The other side did not give what was asked for; `status` is its HTTP status where it came to that."""

    def __init__(self, detail: str, *, status: int | None = None) -> None:
        super().__init__(detail, field=FIELD)
        self.status = status


@dataclass(frozen=True, slots=True)
class FetchedBody:
    """What a URL led to: the bytes, the `Content-Type` as it was sent ("" for none), the URL after redirects."""

    data: bytes
    content_type: str
    final_url: str


class OutboundClient(Protocol):
    """Both calls raise only ServingError: the classes above, TooLarge, DeadlineExceeded, and Overloaded when no place
    among the bounded number of calls came free in time. `timeout_s` bounds a call as a whole: waiting for a place,
    names, connections, redirects and the last byte; the operator's own bound holds where it is shorter.
    """

    async def fetch(self, url: str, *, max_bytes: int, timeout_s: float) -> FetchedBody:
        """The body of a 2xx answer to GET, after at most a few redirects, each checked like the URL itself.

        Raises TooLarge as soon as more than `max_bytes` (or the operator's own bound) arrived or were announced.
        """
        ...

    async def post(self, url: str, *, content: bytes, headers: Mapping[str, str], timeout_s: float) -> int:
        """The status of the answer, whatever it is. Redirects are not followed, the answer's body is not read."""
        ...

    async def aclose(self) -> None:
        """Frees what the client holds; calls under way are the caller's to end first."""
        ...
