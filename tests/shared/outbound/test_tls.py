"""TLS: the certificate is that of the URL's name, whatever address the connection went to."""

import asyncio
import os
from pathlib import Path

import pytest

from services.shared.outbound.base import FetchFailed, UrlRefused
from tests.shared.outbound.conftest import Connect
from tests.support.certificates import Certificate, certificate
from tests.support.outbound_servers import plain, redirect, serving, silent

LONG_S = 10.0


@pytest.fixture(scope="module")
def images_test(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return certificate(tmp_path_factory.mktemp("tls"), "images.test")


async def test_sni_and_certificate_are_those_of_the_name(connect: Connect, images_test: Certificate) -> None:
    asked: list[str | None] = []
    images_test.server.sni_callback = lambda _socket, name, _context: asked.append(name)
    async with (
        serving(plain(b"ok"), tls=images_test.server) as server,
        connect(server, ssl_context=images_test.client, allow_http=False) as client,
    ):
        url = f"https://images.test:{server.port}/cat.png"
        got = await client.fetch(url, max_bytes=100, timeout_s=LONG_S)
        assert await client.post(url, content=b"x", headers={}, timeout_s=LONG_S) == 200
    assert (got.data, got.final_url) == (b"ok", url)
    assert asked == ["images.test", "images.test"]


async def test_a_certificate_of_another_name_is_refused(connect: Connect, images_test: Certificate) -> None:
    async with (
        serving(plain(b"secret"), tls=images_test.server) as server,
        connect(server, ssl_context=images_test.client) as client,
    ):
        with pytest.raises(FetchFailed, match="certificate"):
            await client.fetch(f"https://other.test:{server.port}/", max_bytes=100, timeout_s=LONG_S)
    assert server.requests == []


async def test_a_certificate_that_nobody_vouches_for_is_refused(connect: Connect, images_test: Certificate) -> None:
    async with serving(plain(b"secret"), tls=images_test.server) as server, connect(server) as client:
        with pytest.raises(FetchFailed, match="certificate"):
            await client.fetch(f"https://images.test:{server.port}/", max_bytes=100, timeout_s=LONG_S)
    assert server.requests == []


async def test_a_certificate_of_an_address_counts_for_a_url_with_that_address(connect: Connect, tmp_path: Path) -> None:
    of_address = certificate(tmp_path, "127.0.0.1")
    async with (
        serving(plain(b"ok"), tls=of_address.server) as server,
        connect(server, names=("127.0.0.1",), ssl_context=of_address.client) as client,
    ):
        got = await client.fetch(f"https://127.0.0.1:{server.port}/", max_bytes=100, timeout_s=LONG_S)
    assert got.data == b"ok"


async def test_a_redirect_from_https_to_http_reaches_nothing(connect: Connect, images_test: Certificate) -> None:
    async with serving(silent()) as downgraded:
        location = f"http://images.test:{downgraded.port}/"
        async with (
            serving(redirect(location), tls=images_test.server) as server,
            connect(server, downgraded, ssl_context=images_test.client) as client,
        ):
            with pytest.raises(UrlRefused, match="from https to http"):
                await client.fetch(f"https://images.test:{server.port}/", max_bytes=100, timeout_s=LONG_S)
        assert await downgraded.saw_nothing()


async def test_http_is_refused_unless_the_operator_allows_it(connect: Connect) -> None:
    async with serving(plain(b"ok")) as server:
        async with connect(server, allow_http=False) as client:
            with pytest.raises(UrlRefused, match="https://"):
                await client.fetch(f"http://images.test:{server.port}/", max_bytes=100, timeout_s=LONG_S)
        assert await server.saw_nothing()


async def test_a_broken_record_is_a_failed_fetch(connect: Connect, images_test: Certificate) -> None:
    async def not_encrypted(writer: asyncio.StreamWriter) -> None:
        os.write(writer.get_extra_info("socket").fileno(), b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno")

    async with (
        serving(not_encrypted, tls=images_test.server) as server,
        connect(server, ssl_context=images_test.client) as client,
    ):
        with pytest.raises(FetchFailed, match="no TLS connection"):
            await client.fetch(f"https://images.test:{server.port}/", max_bytes=100, timeout_s=LONG_S)
