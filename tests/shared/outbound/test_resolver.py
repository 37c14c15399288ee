"""Names by the machine's own resolver; only the one name that needs no network is asked for."""

from ipaddress import ip_address, ip_network

from services.shared.outbound.client import HttpcoreOutboundClient
from services.shared.outbound.resolver import SystemResolver
from services.shared.outbound.settings import OutboundSettings
from tests.support.outbound_servers import plain, serving


async def test_a_name_has_each_of_its_addresses_once() -> None:
    resolver = SystemResolver(threads=1)
    try:
        found = await resolver("localhost", 80)
    finally:
        resolver.close()
    assert set(found) <= {ip_address("127.0.0.1"), ip_address("::1")}
    assert len(found) == len(set(found)) >= 1


async def test_the_client_resolves_by_itself() -> None:
    private = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
    async with serving(plain(b"ok")) as server:
        settings = OutboundSettings((f"localhost:{server.port}",), allow_http=True, allowed_private_networks=private)
        client = HttpcoreOutboundClient(settings)
        got = await client.fetch(f"http://localhost:{server.port}/", max_bytes=100, timeout_s=10.0)
        await client.aclose()
    assert got.data == b"ok"
