"""Closed-loop load without wrk: raw HTTP/1.1 over kept connections, in this process."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

from services.cli.measure.load import Load, MeasurementFailed, Request, percentile

ANSWER_TIMEOUT_S = 60.0
_REST_S = 0.05  # after a connection that failed, so that a server which is gone is not asked a million times


class AsyncioGenerator:
    """Its CPU time (about 0.1 ms for each request) is taken from what it measures on the same machine."""

    name = "asyncio client (wrk is not installed: its CPU time lowers the figures of small models)"

    def run(self, request: Request, connections: int, seconds: int) -> Load:
        import uvloop

        if request.address.scheme != "http":
            raise MeasurementFailed(f"{request.url} is not http: measuring another needs wrk")
        load = uvloop.run(_run(request, connections, seconds))
        if load.requests == 0 and load.broken:
            raise MeasurementFailed(f"{request.url} cannot be reached")
        return load


@dataclass(slots=True)
class _Tally:
    latencies_s: list[float] = field(default_factory=list)
    refused: int = 0
    broken: int = 0


async def _run(request: Request, connections: int, seconds: float) -> Load:
    tally, begin = _Tally(), time.perf_counter()
    message = message_of(request)
    await asyncio.gather(*(_ask_until(begin + seconds, request, message, tally) for _ in range(connections)))
    took_s = time.perf_counter() - begin
    ascending = sorted(tally.latencies_s)
    p50, p95, p99 = (1000 * percentile(ascending, share) for share in (0.5, 0.95, 0.99))
    return Load(len(ascending), took_s, p50, p95, p99, tally.refused, tally.broken)


def message_of(request: Request) -> bytes:
    """The whole request as it goes over the wire (RFC 9112)."""
    lines = [
        f"POST {request.target} HTTP/1.1",
        f"Host: {request.address.netloc}",
        f"Content-Type: {request.content_type}",
        f"Content-Length: {len(request.body)}",
        *(f"{name}: {value}" for name, value in request.headers.items()),
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + request.body


async def _ask_until(end: float, request: Request, message: bytes, tally: _Tally) -> None:
    """One client: asks again as soon as it has its answer, on the same connection as long as that is kept."""
    while time.perf_counter() < end:
        try:
            host, port = request.address.hostname or "127.0.0.1", request.address.port or 80
            reader, writer = await asyncio.open_connection(host, port)
        except OSError:
            tally.broken += 1
            await asyncio.sleep(_REST_S)
            continue
        try:
            kept = True
            while kept and time.perf_counter() < end:
                begin = time.perf_counter()
                writer.write(message)
                status, kept = await asyncio.wait_for(read_answer(reader), ANSWER_TIMEOUT_S)
                tally.latencies_s.append(time.perf_counter() - begin)
                tally.refused += status != 200
        except (OSError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            tally.broken += 1
        finally:
            writer.close()


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, bool]:
    """Reads one answer whole: its status, and whether the connection is kept. Raises ValueError for an answer without
    a length, which a closed loop cannot follow, and IncompleteReadError when it breaks off."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    status = int(head[9:12])
    _, found, rest = head.partition(b"\r\ncontent-length:")
    if not found:
        raise ValueError("the answer has no Content-Length")
    await reader.readexactly(int(rest.partition(b"\r\n")[0]))
    return status, b"\r\nconnection: close" not in head
