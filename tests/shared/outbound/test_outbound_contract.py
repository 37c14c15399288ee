"""What every OutboundClient promises: the real one and its twin."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from services.shared.errors import Overloaded, TooLarge
from services.shared.outbound.base import FetchedBody, FetchFailed, OutboundClient
from services.shared.outbound.fake import FakeOutboundClient, Posted
from tests.shared.outbound.conftest import Connect
from tests.support.outbound_servers import plain, serving

LONG_S = 10.0


@dataclass(frozen=True, slots=True)
class Called:
    """A client, a URL with `b"pixels"` as image/png that takes posts with 202, and one that does not exist."""

    client: OutboundClient
    url: str
    missing: str


@pytest.fixture(params=["httpcore", "fake"])
async def called(request: pytest.FixtureRequest, connect: Connect) -> AsyncIterator[Called]:
    if request.param == "fake":
        url, missing = "https://images.test/", "https://images.test/missing"
        fake = FakeOutboundClient({url: FetchedBody(b"pixels", "image/png", url)}, {url: [202]})
        yield Called(fake, url, missing)
        await fake.aclose()
        return
    async with (
        serving(plain(b"pixels", "Content-Type: image/png", status="202 Accepted")) as server,
        serving(plain(b"", status="404 Not Found")) as missing_server,
        connect(server, missing_server) as client,
    ):
        yield Called(client, f"http://images.test:{server.port}/", f"http://images.test:{missing_server.port}/")


async def test_a_fetch_gives_bytes_type_and_url(called: Called) -> None:
    got = await called.client.fetch(called.url, max_bytes=6, timeout_s=LONG_S)
    assert got == FetchedBody(b"pixels", "image/png", called.url)


async def test_a_fetch_over_the_limit_is_too_large(called: Called) -> None:
    with pytest.raises(TooLarge) as failure:
        await called.client.fetch(called.url, max_bytes=5, timeout_s=LONG_S)
    assert failure.value.field == "url"


async def test_a_url_of_nothing_is_a_failed_fetch_with_its_status(called: Called) -> None:
    with pytest.raises(FetchFailed) as failure:
        await called.client.fetch(called.missing, max_bytes=6, timeout_s=LONG_S)
    assert (failure.value.status, failure.value.field) == (404, "url")


async def test_a_post_gives_the_status_each_time(called: Called) -> None:
    for _ in range(2):
        assert await called.client.post(called.url, content=b"{}", headers={}, timeout_s=LONG_S) == 202
    assert await called.client.post(called.missing, content=b"{}", headers={}, timeout_s=LONG_S) == 404


async def test_the_twin_answers_in_turn_and_remembers_what_it_was_asked() -> None:
    fake = FakeOutboundClient(
        {"https://a.test/": Overloaded("busy")}, {"https://a.test/": [503, Overloaded("busy"), 200]}
    )
    with pytest.raises(Overloaded):
        await fake.fetch("https://a.test/", max_bytes=1, timeout_s=1.0)
    assert fake.fetched == ["https://a.test/"]
    assert await fake.post("https://a.test/", content=b"1", headers={"X": "y"}, timeout_s=1.0) == 503
    with pytest.raises(Overloaded):
        await fake.post("https://a.test/", content=b"2", headers={}, timeout_s=1.0)
    assert [await fake.post("https://a.test/", content=b"", headers={}, timeout_s=1.0) for _ in range(2)] == [200, 200]
    assert fake.posted[0] == Posted("https://a.test/", b"1", {"X": "y"})
