"""The client against real servers: what it sends, what it gives back, what it calls a failure."""

import pytest

from services.shared.errors import TooLarge
from services.shared.outbound.base import FetchedBody, FetchFailed, UrlRefused
from services.shared.outbound.client import HttpcoreOutboundClient
from services.shared.outbound.settings import OutboundSettings
from tests.shared.outbound.conftest import Connect
from tests.support.outbound_servers import Answer, ScriptedResolver, endless, plain, raw, serving, silent
from tests.support.polling import until

LONG_S = 10.0


async def test_a_body_comes_with_its_type_and_the_name_in_the_host_header(connect: Connect) -> None:
    async with serving(plain(b"pixels", "Content-Type: image/png")) as server, connect(server) as client:
        url = f"http://images.test:{server.port}/cat.png?size=2"
        got = await client.fetch(url, max_bytes=100, timeout_s=LONG_S)
    assert got == FetchedBody(b"pixels", "image/png", url)
    lines = server.requests[0].lower().splitlines()
    assert lines[0] == "get /cat.png?size=2 http/1.1"
    assert f"host: images.test:{server.port}" in lines
    assert "accept-encoding: identity" in lines
    assert not any(line.startswith(("cookie", "authorization", "referer")) for line in lines)


async def test_proxies_of_the_environment_are_ignored(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(plain(b"proxy")) as proxy, serving(plain(b"direct")) as server, connect(server) as client:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        got = await client.fetch(f"http://images.test:{server.port}/", max_bytes=100, timeout_s=LONG_S)
        assert got.data == b"direct"
        assert await proxy.saw_nothing()


@pytest.mark.parametrize("size", [0, 1, 99, 100])
async def test_a_body_up_to_the_limit_is_given_whole(connect: Connect, size: int) -> None:
    async with serving(plain(b"x" * size)) as server, connect(server) as client:
        got = await client.fetch(f"http://images.test:{server.port}/", max_bytes=100, timeout_s=LONG_S)
    assert got.data == b"x" * size


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
UNSIZED = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(plain(b"x" * 101), id="one byte too many"),
        pytest.param(raw(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999\r\n\r\n"), id="announced"),
        pytest.param(raw(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n"), id="announced absurdly"),
        pytest.param(endless(CHUNKED, b"1000\r\n" + b"x" * 4096 + b"\r\n"), id="endless chunks"),
        pytest.param(endless(UNSIZED, b"x" * 65536), id="endless without a length"),
        pytest.param(endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 500), id="endless interim answers"),
        pytest.param(endless(CHUNKED, b"1;" + b"e" * 60_000 + b"\r\nx\r\n"), id="endless chunk extensions"),
    ],
)
async def test_a_body_over_the_limit_is_left_at_once(connect: Connect, answer: Answer) -> None:
    async with serving(answer) as server, connect(server) as client:
        with pytest.raises(TooLarge) as failure:
            await client.fetch(f"http://images.test:{server.port}/", max_bytes=100, timeout_s=LONG_S)
        assert failure.value.field == "url"
        await until(lambda: server.ended == 1)  # the connection is closed, the server notices


async def test_the_operator_s_limit_holds_where_it_is_lower(connect: Connect) -> None:
    async with serving(plain(b"x" * 101)) as server, connect(server, max_bytes=100) as client:
        with pytest.raises(TooLarge, match="100 bytes"):
            await client.fetch(f"http://images.test:{server.port}/", max_bytes=10**9, timeout_s=LONG_S)


async def test_what_follows_a_shorter_content_length_is_dropped(connect: Connect) -> None:
    answer = raw(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcdef")
    async with serving(answer) as server, connect(server) as client:
        got = await client.fetch(f"http://images.test:{server.port}/", max_bytes=100, timeout_s=LONG_S)
    assert got.data == b"abc"


GZIP = "Content-Encoding: gzip"
OK = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        pytest.param(plain(b"", status="404 Not Found"), "HTTP status 404", id="404"),
        pytest.param(plain(b"", status="500 Oops"), "HTTP status 500", id="500"),
        pytest.param(plain(b"", status="304 Not Modified"), "HTTP status 304", id="304"),
        pytest.param(plain(b"", status="302 Found"), "redirects to nowhere", id="no location"),
        pytest.param(plain(b"\x1f\x8b", GZIP), "compressed", id="gzip"),
        pytest.param(plain(b"x", "Content-Encoding: identity, br"), "compressed", id="several encodings"),
        pytest.param(
            raw(OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n"), "valid HTTP", id="gzip as transfer encoding"
        ),
        pytest.param(raw(OK + b"Content-Length: 10\r\n\r\nabc"), "complete", id="shorter than announced"),
        pytest.param(raw(OK + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"), "valid HTTP", id="two lengths"),
        pytest.param(raw(OK + b"Content-Length: -1\r\n\r\n"), "valid HTTP", id="negative length"),
        pytest.param(raw(CHUNKED + b"zz\r\n"), "valid HTTP", id="broken chunk"),
        pytest.param(raw(CHUNKED + b"3\r\nabc\r\n"), "complete", id="last chunk missing"),
        pytest.param(raw(CHUNKED + b"1\r\nx\r\n" * 4000), "too small pieces", id="crumbs"),
        pytest.param(raw(b"SSH-2.0-OpenSSH_9.6\r\n"), "valid HTTP", id="not HTTP"),
        pytest.param(raw(b""), "valid HTTP", id="nothing"),
        pytest.param(endless(OK, b"X-Flood: " + b"x" * 1000 + b"\r\n"), "valid HTTP", id="endless headers"),
        pytest.param(endless(OK + b"X-Long: ", b"x" * 4096), "valid HTTP", id="endless header"),
        pytest.param(raw(b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n"), "valid HTTP", id="another protocol"),
    ],
)
async def test_an_answer_that_cannot_be_used_is_a_failed_fetch(connect: Connect, answer: Answer, says: str) -> None:
    async with serving(answer) as server, connect(server) as client:
        with pytest.raises(FetchFailed) as failure:
            await client.fetch(f"http://images.test:{server.port}/", max_bytes=10**5, timeout_s=LONG_S)
        assert says in failure.value.detail
        assert failure.value.field == "url"
        assert "OpenSSH" not in failure.value.detail
        await until(lambda: server.ended == 1)


async def test_the_status_of_the_other_side_is_kept(connect: Connect) -> None:
    async with serving(plain(b"", status="403 Forbidden")) as server, connect(server) as client:
        with pytest.raises(FetchFailed) as failure:
            await client.fetch(f"http://images.test:{server.port}/", max_bytes=100, timeout_s=LONG_S)
    assert failure.value.status == 403


async def test_a_closed_port_is_a_failed_fetch(connect: Connect) -> None:
    async with serving(silent()) as server:
        pass
    async with connect(server) as client:
        with pytest.raises(FetchFailed, match="no connection"):
            await client.fetch(f"http://images.test:{server.port}/", max_bytes=100, timeout_s=LONG_S)


async def test_the_second_address_is_tried_when_the_first_does_not_answer(connect: Connect) -> None:
    resolver = ScriptedResolver({"images.test": ["127.0.0.9 127.0.0.1"]})
    async with serving(plain(b"ok")) as server, connect(server, resolver=resolver) as client:
        got = await client.fetch(f"http://images.test:{server.port}/", max_bytes=100, timeout_s=LONG_S)
    assert got.data == b"ok"


async def test_both_calls_are_off_by_default() -> None:
    client = HttpcoreOutboundClient(OutboundSettings())
    with pytest.raises(UrlRefused, match="GRAYSCALE_ALLOWED_URL_HOSTS"):
        await client.fetch("https://example.com/", max_bytes=100, timeout_s=LONG_S)
    with pytest.raises(UrlRefused, match="GRAYSCALE_ALLOWED_URL_HOSTS"):
        await client.post("https://example.com/", content=b"", headers={}, timeout_s=LONG_S)
