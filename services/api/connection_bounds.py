"""What one connection may cost."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ConnectionBounds:
    """Seconds, bytes and counts.

    `header_timeout_s`: from the connection, or from a request's first byte, to the end of its headers.
    `max_pipelined`: requests that wait for the answer of an earlier one; one of 18 bytes costs kilobytes here.
    `discard_s`: how long a body that nobody wants is still read after the answer.
    `stalled_s`: how long a client may take nothing of an answer that does not fit into the socket's buffers.
    """

    header_timeout_s: float = 15.0
    max_header_bytes: int = 32 * 1024
    max_headers: int = 100
    max_pipelined: int = 16
    keep_alive_s: int = 75  # longer than the 60 s of common load balancers, so that they close first
    discard_s: float = 5.0
    stalled_s: float = 30.0
