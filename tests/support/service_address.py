"""One address in front of several instances, as a cluster's Service or a proxy is: each new connection goes to one that
says that it is ready, and connections that are there stay where they are."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import httpx

_PIECE = 2**16


@dataclass(frozen=True, slots=True)
class Backend:
    """An instance's port, and where it says whether it is ready."""

    port: int
    ready_url: str


@dataclass(slots=True)
class ServiceAddress:
    """`port` is what clients are told. `backends` may be changed at any time."""

    port: int
    backends: list[Backend] = field(default_factory=list)
    _turn: itertools.count[int] = field(default_factory=itertools.count)
    _carried: set[asyncio.Task[None]] = field(default_factory=set)
    _http: httpx.AsyncClient = field(init=False)

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[ServiceAddress]:
        async with httpx.AsyncClient(timeout=5, trust_env=False) as self._http:
            server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
            try:
                yield self
            finally:
                server.close()
                for task in self._carried:
                    task.cancel()
                await asyncio.gather(*self._carried, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._carry(reader, writer))
        self._carried.add(task)
        task.add_done_callback(self._carried.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            far_reader, far_writer = await self._connected()
            await asyncio.gather(_pass_on(reader, far_writer), _pass_on(far_reader, writer))
        writer.close()

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Raises ConnectionError where no instance is ready; the client sees a closed connection."""
        ready = [backend for backend in self.backends if await self._is_ready(backend)]
        if not ready:
            raise ConnectionError("no instance is ready")
        return await asyncio.open_connection("127.0.0.1", ready[next(self._turn) % len(ready)].port)

    async def _is_ready(self, backend: Backend) -> bool:
        """Asked for each connection: however busy this machine is, nobody is sent to one that said that it ends."""
        with contextlib.suppress(httpx.HTTPError):
            return (await self._http.get(backend.ready_url)).status_code == 200
        return False


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Until the end of what is read, or until either side is gone; then the other side hears of it."""
    try:
        while piece := await reader.read(_PIECE):
            writer.write(piece)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()
