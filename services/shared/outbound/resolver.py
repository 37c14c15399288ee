"""Names to addresses by the machine's own resolver."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address

from services.shared.outbound.addresses import IPAddress

# (host, port) -> every address of the host, best first; raises OSError when there is none.
Resolver = Callable[[str, int], Awaitable[Sequence[IPAddress]]]


class SystemResolver:
    """`getaddrinfo` in threads of its own.

    A lookup cannot be interrupted, only left behind: in the event loop's own pool, a name server that never answers
    would take the threads that everything else waits for.
    """

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="resolve")

    async def __call__(self, host: str, port: int) -> Sequence[IPAddress]:
        return await asyncio.get_running_loop().run_in_executor(self._pool, _addresses, host, port)

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)


def _addresses(host: str, port: int) -> list[IPAddress]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    unique = dict.fromkeys(str(sockaddr[0]) for _, _, _, _, sockaddr in found)
    return [ip_address(address) for address in unique]
