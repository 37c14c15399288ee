"""Pages over a real socket: their headers, and that no path leads out."""

from __future__ import annotations

import asyncio
import json

import httpx
import pytest

from services.web.page_files import DIRECTORY, read_pages
from tests.support.polling import BOUND_S, until
from tests.support.web_server import Web


async def test_every_file_is_served_as_it_is_with_the_policy(web: Web) -> None:
    for path, file in read_pages().items():
        answer = await web.http.get(path)
        assert answer.status_code == 200
        assert answer.content == file.body
        assert answer.headers["content-type"] == file.content_type
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'self'" in answer.headers["content-security-policy"]
        assert answer.headers["cache-control"] == "no-cache"
        assert "server" not in answer.headers


async def test_a_file_that_the_client_has_is_not_sent_again(web: Web) -> None:
    first = await web.http.get("/scripts/api.js")
    again = await web.http.get("/scripts/api.js", headers={"if-none-match": first.headers["etag"]})
    other = await web.http.get("/scripts/api.js", headers={"if-none-match": '"other"'})
    assert (again.status_code, again.content, "content-length" in again.headers) == (304, b"", False)
    assert (other.status_code, other.content) == (200, first.content)


async def test_head_tells_what_get_would_send(web: Web) -> None:
    get, head = await web.http.get("/"), await web.http.head("/")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == get.headers["content-length"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
async def test_pages_are_only_read(web: Web, method: str) -> None:
    answer = await web.http.request(method, "/")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "target",
    [
        *("/../settings.py", "/scripts/../../settings.py", "/%2e%2e/settings.py", "/scripts/%2e%2e%2f%2e%2e%2fapp.py"),
        *("//etc/passwd", "/etc/passwd", "/..%5c..%5csettings.py", "/scripts/", "/index.html", "/%00", "/scripts"),
        *("/pages/index.html", "/models/", "/MODELS", "/.git/config", "/api", "/%61pi/v1/models"),
    ],
)
async def test_no_path_leads_out_of_the_pages(web: Web, target: str) -> None:
    answer = await asyncio.wait_for(_raw_get(web.port, target), BOUND_S)
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert not web.api.seen
    document = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert document["status"] == 404
    assert str(DIRECTORY) not in str(document)


async def _raw_get(port: int, target: str) -> bytes:
    """httpx would tidy the path up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    return answer


async def test_probes_say_live_and_ready_and_metrics_count(web: Web) -> None:
    assert (await web.http.get("/healthz/live")).json() == {"status": "ok"}
    assert (await web.http.get("/healthz/ready")).json() == {"status": "ok"}
    await web.http.get("/")
    await web.http.get("/nothing")
    await web.http.get("/api/echo")
    text = (await web.http.get("/metrics")).text
    assert 'grayscale_web_requests_total{code="200",route="page"} 1' in text
    assert 'grayscale_web_requests_total{code="404",route="other"} 1' in text
    assert 'grayscale_web_requests_total{code="200",route="api"} 1' in text
    assert 'grayscale_web_request_duration_seconds_count{route="api"} 1' in text
    assert "grayscale_web_requests_in_flight 0" in text


async def test_the_log_has_one_line_with_the_request_id_and_no_query_or_key(
    web: Web, capsys: pytest.CaptureFixture[str]
) -> None:
    headers = {"authorization": "Bearer gs_secret_1", "x-request-id": "mine-1"}
    answer = await web.http.get("/api/echo?token=hidden", headers=headers)
    assert answer.headers["x-request-id"] == "mine-1"
    said = ""

    def is_written() -> bool:  # a moment after the answer
        nonlocal said
        said += capsys.readouterr().err
        return said.endswith("\n")

    await until(is_written)
    [line] = [json.loads(text) for text in said.splitlines()]
    assert (line["service"], line["request_id"], line["path"], line["status"]) == ("web", "mine-1", "/api/echo", 200)
    assert "hidden" not in str(line)
    assert "gs_secret_1" not in str(line)


async def test_it_is_not_ready_when_it_is_about_to_end(web: Web) -> None:
    web.parts.ending.set()
    answer = await web.http.get("/healthz/ready")
    assert (answer.status_code, answer.json()["reasons"]) == (503, ["this server is about to end"])
    assert isinstance(await web.http.get("/"), httpx.Response)
