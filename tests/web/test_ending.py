"""A server that is told to end lets its clients go before it closes their connections."""

from __future__ import annotations

import pytest

from tests.support.web_server import Web


@pytest.mark.parametrize("path", ["/", "/api/echo", "/nothing"])
async def test_an_answer_is_the_last_of_its_connection_when_the_server_is_about_to_end(web: Web, path: str) -> None:
    before = await web.http.get(path)
    assert "connection" not in before.headers
    web.parts.ending.set()
    after = await web.http.get(path)
    assert (after.status_code, after.headers["connection"]) == (before.status_code, "close")
    assert (await web.http.get("/healthz/ready")).status_code == 503
