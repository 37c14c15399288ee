"""What a hostile URL, name server or web server can reach: nothing. The servers here see every connection."""

import pytest

from services.shared.outbound.base import FetchFailed, NoUsableAddress, OutboundClient, UrlRefused
from tests.shared.outbound.conftest import Connect
from tests.support.outbound_servers import (
    RecordingServer,
    ScriptedResolver,
    WatchedNetwork,
    plain,
    redirect,
    serving,
)

LONG_S = 10.0
PUBLIC = "93.184.216.34"


async def refused(client: OutboundClient, url: str) -> UrlRefused:
    """The refusal that both calls give for a URL."""
    with pytest.raises(UrlRefused) as of_fetch:
        await client.fetch(url, max_bytes=100, timeout_s=LONG_S)
    with pytest.raises(UrlRefused) as of_post:
        await client.post(url, content=b"x", headers={}, timeout_s=LONG_S)
    assert of_fetch.value.detail == of_post.value.detail
    assert type(of_fetch.value) is type(of_post.value)
    return of_fetch.value


@pytest.mark.parametrize(
    "answers",
    [
        "127.0.0.1", "::1", "::ffff:127.0.0.1", "::127.0.0.1", "0.0.0.0", "::", "10.0.0.1", "192.168.1.1", "172.16.0.1",
        "169.254.169.254", "fd00:ec2::254", "fe80::1", "100.64.0.1", "224.0.0.1", "240.0.0.1", "64:ff9b::7f00:1",
        "2002:7f00:1::", "2001:0:7f00:1::", f"{PUBLIC} 127.0.0.1", f"127.0.0.1 {PUBLIC}", f"{PUBLIC} ::1",
    ],
)  # fmt: skip
async def test_a_listed_name_that_leads_inside_reaches_nothing(connect: Connect, answers: str) -> None:
    resolver, network = ScriptedResolver({"images.test": [answers]}), WatchedNetwork()
    async with serving(plain(b"secret")) as server:
        async with connect(server, resolver=resolver, network=network, allowed_private_networks=()) as client:
            refusal = await refused(client, f"http://images.test:{server.port}/")
            assert isinstance(refusal, NoUsableAddress)
        assert network.tried == []
        assert await server.saw_nothing()


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "169.254.169.254", "10.0.0.1", "[fd00:ec2::254]"],
)
async def test_an_inside_address_reaches_nothing_even_when_it_is_listed_as_a_host(connect: Connect, host: str) -> None:
    resolver, network = ScriptedResolver({}), WatchedNetwork()
    async with serving(plain(b"secret")) as server:
        async with connect(
            server, names=(host,), resolver=resolver, network=network, allowed_private_networks=()
        ) as client:
            assert isinstance(await refused(client, f"http://{host}:{server.port}/"), NoUsableAddress)
        assert (network.tried, resolver.asked) == ([], [])
        assert await server.saw_nothing()


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:{port}/", "http://localhost:{port}/", "http://2130706433:{port}/", "http://0x7f.1:{port}/",
        "http://127.1:{port}/", "http://[::1]:{port}/", "http://evil.test:{port}/", "http://127.0.0.1.nip.io:{port}/",
        "http://images.test@127.0.0.1:{port}/", "http://127.0.0.1:{port}\\@images.test/", "http://x.images.test:{port}/",
        "http://user:pw@images.test:{port}/", "http://images.test:80/", "ftp://images.test:{port}/",
        "http://images.test:{port} /", "http://images.test:{port}\r\n/", "file:///etc/passwd",
    ],
)  # fmt: skip
async def test_a_url_outside_the_list_is_not_even_resolved(connect: Connect, url: str) -> None:
    resolver, network = ScriptedResolver({"images.test": ["127.0.0.1"]}), WatchedNetwork()
    async with serving(plain(b"secret")) as server:
        async with connect(server, resolver=resolver, network=network) as client:
            assert not isinstance(await refused(client, url.format(port=server.port)), NoUsableAddress)
        assert (network.tried, resolver.asked) == ([], [])
        assert await server.saw_nothing()


async def test_a_name_that_is_public_when_checked_and_private_afterwards_reaches_nothing_private(
    connect: Connect,
) -> None:
    resolver, network = ScriptedResolver({"images.test": [PUBLIC, "127.0.0.1"]}), WatchedNetwork()
    async with serving(plain(b"secret")) as server:
        async with connect(server, resolver=resolver, network=network, allowed_private_networks=()) as client:
            url = f"http://images.test:{server.port}/"
            with pytest.raises(FetchFailed, match="no connection"):
                await client.fetch(url, max_bytes=100, timeout_s=LONG_S)
            assert (network.tried, resolver.asked) == ([PUBLIC], ["images.test"])
            assert isinstance(await refused(client, url), NoUsableAddress)  # the next call sees the new answer
        assert network.tried == [PUBLIC]
        assert await server.saw_nothing()


async def test_the_connection_goes_to_the_address_that_was_checked(connect: Connect) -> None:
    resolver, network = ScriptedResolver({"images.test": ["127.0.0.1", "10.0.0.1"]}), WatchedNetwork()
    async with serving(plain(b"ok")) as server, connect(server, resolver=resolver, network=network) as client:
        await client.fetch(f"http://images.test:{server.port}/", max_bytes=100, timeout_s=LONG_S)
    assert network.tried == ["127.0.0.1"]
    assert server.connections == 1
    assert f"Host: images.test:{server.port}".lower() in server.requests[0].lower()


@pytest.mark.parametrize(
    "location",
    [
        "http://127.0.0.1:{inside}/", "http://[::1]:{inside}/", "http://[::ffff:127.0.0.1]:{inside}/",
        "http://2130706433:{inside}/", "//127.0.0.1:{inside}/", "http://evil.test:{inside}/",
        "http://images.test:{inside}/", "http://169.254.169.254/latest/meta-data/", "file:///etc/passwd",
        "gopher://127.0.0.1:{inside}/", "ftp://images.test:{inside}/", "http://u:p@images.test:{outside}/",
        "http://images.test:{outside}\\@127.0.0.1:{inside}/", "http://images.test:{outside}@127.0.0.1:{inside}/",
    ],
)  # fmt: skip
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_inside_reaches_nothing(connect: Connect, location: str, status: int) -> None:
    async with serving(plain(b"secret")) as inside:
        ports = {"inside": inside.port, "outside": 0}
        async with serving(redirect(location.format(**ports), status)) as server, connect(server) as client:
            with pytest.raises(UrlRefused):
                await client.fetch(f"http://images.test:{server.port}/", max_bytes=100, timeout_s=LONG_S)
        assert server.connections == 1
        assert await inside.saw_nothing()


async def test_a_redirect_to_a_listed_name_that_leads_inside_reaches_nothing(connect: Connect) -> None:
    resolver = ScriptedResolver({"images.test": ["127.0.0.1"], "other.test": ["10.0.0.1"]})
    network = WatchedNetwork()
    async with serving(plain(b"secret")) as inside:
        async with (
            serving(redirect(f"http://other.test:{inside.port}/")) as server,
            connect(server, inside, resolver=resolver, network=network) as client,
        ):
            with pytest.raises(NoUsableAddress):
                await client.fetch(f"http://images.test:{server.port}/", max_bytes=100, timeout_s=LONG_S)
        assert network.tried == ["127.0.0.1"]
        assert await inside.saw_nothing()


async def test_a_redirect_to_the_same_name_is_resolved_and_checked_anew(connect: Connect) -> None:
    resolver = ScriptedResolver({"images.test": ["127.0.0.1", "10.0.0.1"]})
    network = WatchedNetwork()
    async with serving(redirect("/again")) as server, connect(server, resolver=resolver, network=network) as client:
        with pytest.raises(NoUsableAddress):
            await client.fetch(f"http://images.test:{server.port}/", max_bytes=100, timeout_s=LONG_S)
    assert network.tried == ["127.0.0.1"]


async def test_a_redirect_to_another_listed_server_is_followed(connect: Connect) -> None:
    async with serving(plain(b"there", "Content-Type: image/png")) as there:
        url = f"http://other.test:{there.port}/b"
        async with serving(redirect(url)) as server, connect(server, there) as client:
            got = await client.fetch(f"http://images.test:{server.port}/a", max_bytes=100, timeout_s=LONG_S)
    assert (got.data, got.final_url) == (b"there", url)
    assert there.requests[0].startswith("GET /b ")


@pytest.mark.parametrize("allowed", [0, 1, 3])
async def test_a_loop_of_redirects_ends(connect: Connect, allowed: int) -> None:
    async with serving(redirect("/again")) as server, connect(server, max_redirects=allowed) as client:
        with pytest.raises(FetchFailed, match=f"more than {allowed} times"):
            await client.fetch(f"http://images.test:{server.port}/", max_bytes=100, timeout_s=LONG_S)
    assert server.connections == allowed + 1


async def detail_for(connect: Connect, server: RecordingServer, resolver: ScriptedResolver) -> str:
    async with connect(server, resolver=resolver, allowed_private_networks=()) as client:
        return (await refused(client, f"http://images.test:{server.port}/")).detail


async def test_a_refusal_does_not_tell_what_there_is_inside(connect: Connect) -> None:
    """An open port, a closed one, an address of nobody and a name that does not exist: all sound the same."""
    async with serving(plain(b"secret")) as server:
        inside = ScriptedResolver({"images.test": ["127.0.0.1"]})
        details = {await detail_for(connect, server, inside)}
    details.add(await detail_for(connect, server, inside))
    details.add(await detail_for(connect, server, ScriptedResolver({"images.test": ["10.255.0.1"]})))
    details.add(await detail_for(connect, server, ScriptedResolver({"images.test": [""]})))
    details.add(await detail_for(connect, server, ScriptedResolver({})))
    (detail,) = details
    assert not any(text in detail for text in ("127.", "10.", "images.test", str(server.port)))
