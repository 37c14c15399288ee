"""Posts: webhooks."""

import pytest

from services.shared.errors import DeadlineExceeded, ServingError
from tests.shared.outbound.conftest import Connect
from tests.support.outbound_servers import Answer, endless, plain, raw, redirect, serving, silent
from tests.support.polling import until

LONG_S = 10.0
SHORT_S = 0.3
OK = b"HTTP/1.1 200 OK\r\n"
UNSIZED = OK + b"Connection: close\r\n\r\n"


async def test_a_post_gives_the_status_and_sends_body_and_headers(connect: Connect) -> None:
    async with serving(plain(b"", status="202 Accepted")) as server, connect(server) as client:
        url = f"http://images.test:{server.port}/hook"
        headers = {"X-Signature": "abc", "Content-Type": "application/json", "HOST": "evil.test"}
        assert await client.post(url, content=b'{"a":1}', headers=headers, timeout_s=LONG_S) == 202
    assert server.bodies == [b'{"a":1}']
    head = server.requests[0].lower()
    assert head.startswith("post /hook http/1.1")
    assert "x-signature: abc" in head
    assert "content-length: 7" in head
    assert "evil.test" not in head


@pytest.mark.parametrize("status", [200, 404, 410, 500, 503])
async def test_a_post_gives_whatever_status_came(connect: Connect, status: int) -> None:
    async with serving(plain(b"text", status=f"{status} X")) as server, connect(server) as client:
        url = f"http://images.test:{server.port}/hook"
        assert await client.post(url, content=b"", headers={}, timeout_s=LONG_S) == status


async def test_a_post_does_not_follow_redirects(connect: Connect) -> None:
    async with serving(silent()) as other, serving(redirect(f"http://other.test:{other.port}/", 307)) as server:
        async with connect(server, other) as client:
            url = f"http://images.test:{server.port}/hook"
            assert await client.post(url, content=b"", headers={}, timeout_s=LONG_S) == 307
        assert await other.saw_nothing()


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(endless(UNSIZED, b"x" * 65536), id="endless"),
        pytest.param(endless(UNSIZED, b"x", pause_s=0.02), id="dripping"),
        pytest.param(raw(OK + b"Content-Length: 10\r\n\r\n"), id="cut off"),
    ],
)
async def test_the_body_of_a_post_s_answer_is_not_waited_for(connect: Connect, answer: Answer) -> None:
    async with serving(answer) as server, connect(server) as client:
        url = f"http://images.test:{server.port}/hook"
        assert await client.post(url, content=b"", headers={}, timeout_s=LONG_S) == 200
        await until(lambda: server.ended == 1)


async def test_a_receiver_that_never_answers_cannot_hold_a_post(connect: Connect) -> None:
    async with serving(silent()) as server, connect(server) as client:
        with pytest.raises(DeadlineExceeded):
            await client.post(f"http://images.test:{server.port}/", content=b"x", headers={}, timeout_s=SHORT_S)


async def test_a_header_that_cannot_be_sent_is_still_a_serving_error(connect: Connect) -> None:
    async with serving(silent()) as server, connect(server) as client:
        url = f"http://images.test:{server.port}/"
        with pytest.raises(ServingError):
            await client.post(url, content=b"", headers={"X-Bad": "a\r\nInjected: b"}, timeout_s=LONG_S)
        assert server.requests == []
