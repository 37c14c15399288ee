"""A snapshot of a Redis or Valkey server at one moment, through its port.

The server is asked as a replica asks (SYNC), which is what `redis-cli --rdb` does: it forks, writes its data of that
moment, and goes on serving. It needs no shell on the server's machine, but room on its disk for one more copy.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from redis.exceptions import RedisError, ResponseError

from services.cli.backup.inventory import BackupError
from services.cli.backup.writer import PIECE_BYTES
from services.shared.redis_url import RedisAddress, close_redis_client, redis_client

SILENCE_S = 60.0  # a server that is preparing its answer sends a line feed every few seconds


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An RDB file of `size_bytes`; its pieces can be had once."""

    size_bytes: int
    pieces: AsyncIterator[bytes]


@contextlib.asynccontextmanager
async def redis_snapshot(address: RedisAddress) -> AsyncIterator[Snapshot]:
    """Raises BackupError saying what the server said."""
    client = redis_client(address, timeout_s=SILENCE_S)
    try:
        connection = await client.connection_pool.get_connection()  # type: ignore[no-untyped-call]
        try:
            with contextlib.suppress(ResponseError):  # Redis before 7 does not know it, and may send more than we read
                await connection.send_command("REPLCONF", "rdb-only", "1")
                await connection.read_response()
            await connection.send_command("SYNC")
            # From here on it is no protocol of commands and answers, which redis-py has no reader for.
            reader = connection._reader
            if reader is None:
                raise BackupError("the server closed the connection when it was asked for a snapshot")
            size_bytes = await _announced(reader)
            yield Snapshot(size_bytes, _pieces(reader, size_bytes))
        finally:
            await connection.disconnect(nowait=True)
            await client.connection_pool.release(connection)
    except (RedisError, OSError, asyncio.IncompleteReadError) as error:
        raise BackupError(f"Redis gives no snapshot: {str(error) or type(error).__name__}") from error
    finally:
        await close_redis_client(client)


async def _announced(reader: asyncio.StreamReader) -> int:
    """The length that stands before the data: line feeds, then `$<bytes>` (a replica that does not say that it can do
    without is told the length)."""
    while True:
        async with asyncio.timeout(SILENCE_S):
            line = (await reader.readuntil(b"\n")).strip()
        if line.startswith(b"$") and line[1:].isdigit():
            return int(line[1:])
        if line:
            said = line.decode(errors="replace").lstrip("-")
            raise BackupError(f"Redis gives no snapshot: {said}: the user needs the commands SYNC and REPLCONF")


async def _pieces(reader: asyncio.StreamReader, size_bytes: int) -> AsyncIterator[bytes]:
    left = size_bytes
    while left:
        async with asyncio.timeout(SILENCE_S):
            piece = await reader.read(min(left, PIECE_BYTES))
        if not piece:
            raise BackupError("Redis broke its snapshot off: see its log")
        left -= len(piece)
        yield piece
