"""One request and its answer, on a connection of its own.

A connection is never used twice: each request is answered by an address that was checked for it. That costs a
handshake per image, and buys that no state of an earlier call can matter.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpcore

from services.shared.errors import DeadlineExceeded, ServingError
from services.shared.outbound.addresses import IPAddress
from services.shared.outbound.base import FIELD, FetchFailed
from services.shared.outbound.policy import Target
from services.shared.outbound.wire import PinnedBackend
from services.shared.version import VERSION

TIMED_OUT = "the url's host did not answer completely in time: use a faster one, or send the bytes themselves"


@dataclass(frozen=True, slots=True)
class Sending:
    """A request, the checked addresses that it may go to, and its bounds; `deadline` in the event loop's time."""

    method: str
    target: Target
    addresses: Sequence[IPAddress]
    headers: Mapping[str, str]
    deadline: float
    max_read_bytes: int
    content: bytes | None = None


@asynccontextmanager
async def exchange(
    sending: Sending, *, ssl_context: ssl.SSLContext, network: httpcore.AsyncNetworkBackend
) -> AsyncIterator[httpcore.Response]:
    """The answer with its headers read and its body not; the connection is closed on the way out.

    Raises what `cause_of` says, for the body of the `async with` too.
    """
    target = sending.target
    origin = httpcore.Origin(target.scheme.encode(), target.host.encode(), target.port)
    url = httpcore.URL(scheme=origin.scheme, host=origin.host, port=origin.port, target=target.path.encode())
    backend = PinnedBackend(
        sending.addresses, network=network, deadline=sending.deadline, max_read_bytes=sending.max_read_bytes
    )
    connection = httpcore.AsyncHTTPConnection(origin, ssl_context=ssl_context, network_backend=backend)
    try:
        async with connection.stream(
            sending.method, url, headers=_headers(sending), content=sending.content
        ) as response:
            yield response
    except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError) as error:
        raise cause_of(error) from error
    finally:
        await backend.aclose()


def _headers(sending: Sending) -> list[tuple[str, str]]:
    """The caller's headers, except those that are decided here."""
    ours = {
        "host": sending.target.authority,
        "user-agent": f"grayscale/{VERSION}",
        "accept-encoding": "identity",
        "connection": "close",
    }
    return [*ours.items(), *((name, value) for name, value in sending.headers.items() if name.lower() not in ours)]


def cause_of(error: Exception) -> ServingError:
    """What a failure of httpcore means to the caller.

    The texts are ours alone: those of h11 repeat what the other side sent, such as the banner of a service that is
    not HTTP at all.
    """
    if isinstance(error, httpcore.TimeoutException):
        return DeadlineExceeded(TIMED_OUT, field=FIELD)
    if isinstance(error.__cause__, ssl.SSLCertVerificationError):
        return FetchFailed("the certificate of the url's host is not valid for that name: use a host with a valid one")
    if isinstance(error.__cause__, ssl.SSLError):
        return FetchFailed("no TLS connection with the url's host came about: use a host that speaks TLS 1.2 or later")
    if isinstance(error, httpcore.ConnectError):
        return FetchFailed("no connection to the url's host came about: check the host and the port")
    if isinstance(error, httpcore.ProtocolError):
        return FetchFailed("the url's host did not send a complete and valid HTTP answer")
    return FetchFailed("the connection to the url's host broke: try again, or send the bytes themselves")
