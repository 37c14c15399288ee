"""Closed-loop load by either generator: what is sent, what is counted."""

from __future__ import annotations

import asyncio
import shutil
from email import message_from_bytes
from email.message import Message
from pathlib import Path

import pytest

from services.cli.measure.asyncio_load import AsyncioGenerator, message_of, read_answer
from services.cli.measure.load import Generator, MeasurementFailed, Request, choose_generator, percentile, upload
from services.cli.measure.server_process import free_port
from services.cli.measure.wrk import WrkGenerator, load_of, script_of
from tests.cli.measure.conftest import AnsweringServer

PRINTED = """Running 2s test @ http://127.0.0.1:1/
  Thread Stats   Avg      Stdev     Max   +/- Stdev
GRAYSCALE {"requests":100,"duration_us":2500000,"p50_us":1500,"p95_us":2000,"p99_us":9000,"refused":3,"broken":1}
"""


@pytest.fixture(params=["wrk", "asyncio"])
def generator(request: pytest.FixtureRequest, tmp_path: Path) -> Generator:
    """Each that there is; wrk where it is installed."""
    if request.param == "asyncio":
        return AsyncioGenerator()
    program = shutil.which("wrk")
    if program is None:
        pytest.skip("wrk is not installed: the other generator is used")
    return WrkGenerator(program, tmp_path)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """Bytes that nothing on the way may change."""
    path = tmp_path / "picture.png"
    path.write_bytes(bytes(range(256)) * 20)
    return path


def test_every_answer_is_counted_and_timed(generator: Generator, server: AnsweringServer, picture: Path) -> None:
    load = generator.run(upload(server.url, picture), connections=3, seconds=1)
    assert load.errors == 0
    assert 0 < load.requests <= len(server.bodies) <= load.requests + 3  # what was asked last may be left unanswered
    assert 0.9 <= load.seconds < 10
    assert 0 < load.p50_ms <= load.p95_ms <= load.p99_ms
    assert load.requests_per_s == load.requests / load.seconds


def test_the_server_gets_the_picture_as_a_form(generator: Generator, server: AnsweringServer, picture: Path) -> None:
    generator.run(upload(server.url, picture, {"Authorization": 'Bearer a"b\\c'}), connections=1, seconds=1)
    headers = server.headers[0]
    form = message_from_bytes(f"Content-Type: {headers['content-type']}\r\n\r\n".encode() + server.bodies[0])
    parts = form.get_payload()
    assert isinstance(parts, list)
    [part] = parts
    assert isinstance(part, Message)
    assert part.get_param("name", header="content-disposition") == "image"
    assert part.get_content_type() == "image/png"
    assert part.get_payload(decode=True) == picture.read_bytes()
    assert headers["authorization"] == 'Bearer a"b\\c'


def test_answers_that_are_not_good_are_counted(generator: Generator, server: AnsweringServer, picture: Path) -> None:
    server.status = 503
    load = generator.run(upload(server.url, picture), connections=2, seconds=1)
    assert load.requests > 0
    assert load.refused == load.requests == load.errors


def test_a_connection_that_is_not_kept_is_made_again(
    generator: Generator, server: AnsweringServer, picture: Path
) -> None:
    server.close_each = True
    load = generator.run(upload(server.url, picture), connections=1, seconds=1)
    assert load.requests > 1
    assert load.errors == 0


def test_nobody_there_is_an_error(generator: Generator, picture: Path) -> None:
    with pytest.raises(MeasurementFailed):
        generator.run(upload(f"http://127.0.0.1:{free_port()}/x", picture), connections=1, seconds=1)


def test_wrk_is_taken_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: "/usr/bin/wrk")
    assert choose_generator(tmp_path).name == "wrk"
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert "wrk is not installed" in choose_generator(tmp_path).name


def test_the_line_that_wrk_prints_is_read() -> None:
    load = load_of(PRINTED)
    assert (load.requests, load.seconds, load.requests_per_s) == (100, 2.5, 40.0)
    assert (load.p50_ms, load.p95_ms, load.p99_ms) == (1.5, 2.0, 9.0)
    assert (load.refused, load.broken, load.errors) == (3, 1, 4)


@pytest.mark.parametrize(
    ("stdout", "stderr", "words"),
    [("", "unable to connect to 127.0.0.1:1 Connection refused\n", "Connection refused"), ("", "", "it said nothing")],
)
def test_wrk_without_its_line_is_a_failure_in_its_own_words(stdout: str, stderr: str, words: str) -> None:
    with pytest.raises(MeasurementFailed, match=words):
        load_of(stdout, stderr)


def test_a_wrk_that_cannot_run_is_a_failure(tmp_path: Path, picture: Path) -> None:
    with pytest.raises(MeasurementFailed, match="did not do its work"):
        WrkGenerator(str(tmp_path / "none"), tmp_path).run(upload("http://127.0.0.1:1/", picture), 1, 1)


def test_the_script_cannot_be_left_by_a_header() -> None:
    script = script_of(Request("http://h/", b"", 'x"; os.exit() --', {"a\nb": "\\"}), Path("/tmp/the body"))
    assert 'wrk.headers["Content-Type"] = "x\\034; os.exit() --"' in script
    assert 'wrk.headers["a\\010b"] = "\\092"' in script
    assert 'content("/tmp/the body")' in script


def test_a_request_is_written_as_http_has_it() -> None:
    request = Request("http://127.0.0.1:9/v1/x?top_k=1", b"abc", "image/png", {"X-A": "b"})
    assert message_of(request) == (
        b"POST /v1/x?top_k=1 HTTP/1.1\r\nHost: 127.0.0.1:9\r\nContent-Type: image/png\r\n"
        b"Content-Length: 3\r\nX-A: b\r\n\r\nabc"
    )


@pytest.mark.parametrize(
    ("answer", "status", "kept"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, True),
        (b"HTTP/1.1 429 Slow\r\ncontent-length:0\r\nConnection: close\r\n\r\n", 429, False),
    ],
)
async def test_an_answer_is_read_whole(answer: bytes, status: int, kept: bool) -> None:
    reader = asyncio.StreamReader()
    reader.feed_data(answer + b"next")
    assert await read_answer(reader) == (status, kept)
    assert await reader.readexactly(4) == b"next"


async def test_an_answer_without_a_length_is_refused() -> None:
    reader = asyncio.StreamReader()
    reader.feed_data(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
    with pytest.raises(ValueError, match="Content-Length"):
        await read_answer(reader)


def test_the_client_without_wrk_speaks_no_tls(picture: Path) -> None:
    with pytest.raises(MeasurementFailed, match="needs wrk"):
        AsyncioGenerator().run(upload("https://127.0.0.1:1/", picture), 1, 1)


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [
        ([], 0.5, 0.0),
        ([7.0], 0.99, 7.0),
        ([1.0, 2.0, 3.0, 4.0], 0.5, 2.0),
        ([1.0, 2.0, 3.0, 4.0], 0.51, 3.0),
        ([float(n) for n in range(1, 101)], 0.99, 99.0),
        ([1.0, 2.0], 0.0, 1.0),
        ([1.0, 2.0], 1.0, 2.0),
    ],
)
def test_percentiles_are_by_nearest_rank(values: list[float], share: float, expected: float) -> None:
    assert percentile(values, share) == expected
