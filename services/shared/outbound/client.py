"""The outbound client on httpcore: check, resolve, check again, connect to what was checked.

httpcore and not httpx, because httpx would read proxies from the environment, follow redirects and decompress by
itself: each of these would go around a check made here.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import httpcore

from services.shared.errors import DeadlineExceeded, Overloaded
from services.shared.outbound.addresses import IPAddress, check_address
from services.shared.outbound.base import FIELD, FetchedBody, FetchFailed, NoUsableAddress
from services.shared.outbound.body import REDIRECTS, check_head, header, read_body
from services.shared.outbound.exchange import TIMED_OUT, Sending, exchange
from services.shared.outbound.hosts import AllowList
from services.shared.outbound.policy import Target, UrlPolicy
from services.shared.outbound.resolver import Resolver, SystemResolver
from services.shared.outbound.settings import OutboundSettings

MAX_ADDRESSES = 4  # of one name, tried in turn
MAX_HEAD_BYTES = 256 * 1024  # status lines, headers, interim answers; h11 itself stops at 100 KiB for one head


class HttpcoreOutboundClient:
    """With an empty list of hosts every call is refused, saying which setting turns calls on.

    `resolver`, `network` and `ssl_context` (default: the machine's and certifi's authorities) are parameters so that
    tests can script and watch them. Belongs to one event loop.
    """

    def __init__(
        self,
        settings: OutboundSettings,
        *,
        resolver: Resolver | None = None,
        network: httpcore.AsyncNetworkBackend | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._settings = settings
        self._policy = UrlPolicy(AllowList.parse(settings.allowed_hosts), settings.allow_http)
        self._own_resolver = SystemResolver(settings.concurrency)
        self._resolver: Resolver = resolver or self._own_resolver
        self._network = network or httpcore.AnyIOBackend()
        self._ssl_context = ssl_context or httpcore.default_ssl_context()
        self._places = asyncio.Semaphore(settings.concurrency)

    async def fetch(self, url: str, *, max_bytes: int, timeout_s: float) -> FetchedBody:
        target = self._policy.check_url(url)
        max_bytes = min(max_bytes, self._settings.max_bytes)
        async with self._bounded(timeout_s) as deadline:
            for _ in range(self._settings.max_redirects + 1):
                answer = await self._get(target, max_bytes, deadline)
                if isinstance(answer, FetchedBody):
                    return answer
                target = self._policy.check_redirect(target, answer)
        raise FetchFailed(
            f"the url redirects more than {self._settings.max_redirects} times: use the one that it leads to"
        )

    async def post(self, url: str, *, content: bytes, headers: Mapping[str, str], timeout_s: float) -> int:
        target = self._policy.check_url(url)
        async with self._bounded(timeout_s) as deadline:
            addresses = await self._addresses(target)
            sending = Sending("POST", target, addresses, headers, deadline, MAX_HEAD_BYTES, content)
            async with exchange(sending, ssl_context=self._ssl_context, network=self._network) as response:
                return response.status

    async def aclose(self) -> None:
        self._own_resolver.close()

    async def _get(self, target: Target, max_bytes: int, deadline: float) -> FetchedBody | str:
        """The body, or the place that a redirect leads to."""
        addresses = await self._addresses(target)
        # Twice the body leaves room for the framing of chunks, and for nothing worth sending.
        sending = Sending("GET", target, addresses, {"Accept": "*/*"}, deadline, MAX_HEAD_BYTES + 2 * max_bytes)
        async with exchange(sending, ssl_context=self._ssl_context, network=self._network) as response:
            if response.status in REDIRECTS:
                location = header(response.headers, b"location")
                if location is None:
                    raise FetchFailed("the url redirects to nowhere: use the one of the file", status=response.status)
                return location
            check_head(response.status, response.headers, max_bytes)
            data = await read_body(response.aiter_stream(), max_bytes)
            return FetchedBody(data, header(response.headers, b"content-type") or "", target.url)

    async def _addresses(self, target: Target) -> Sequence[IPAddress]:
        """The addresses that the request may go to, each checked; raises NoUsableAddress.

        One forbidden address among them refuses the name. No public server has such a mixture, while an attacker
        uses it to be let in by one and answered by the other; and what is allowed must not depend on an order.
        """
        literal = target.address
        try:
            found = [literal] if literal else await self._resolver(target.host, target.port)
        except (OSError, UnicodeError) as error:
            raise NoUsableAddress() from error
        for address in found:
            check_address(address, allow_private_networks=self._settings.allowed_private_networks)
        if not found:
            raise NoUsableAddress()
        return found[:MAX_ADDRESSES]

    @asynccontextmanager
    async def _bounded(self, timeout_s: float) -> AsyncIterator[float]:
        """A place among the calls, and the time when this one must be over (event loop's time).

        Running out of time is DeadlineExceeded, not the caller's fault: the host may be fast tomorrow, and a webhook
        should try again.
        """
        timeout_s = min(timeout_s, self._settings.timeout_s)
        deadline = asyncio.get_running_loop().time() + timeout_s
        has_place = False
        try:
            async with asyncio.timeout_at(deadline), self._places:
                has_place = True
                yield deadline
        except TimeoutError as error:
            if has_place:
                raise DeadlineExceeded(TIMED_OUT, field=FIELD) from error
            raise Overloaded("too many urls are being called at once: try again", retry_after_s=1.0) from error
