"""One line for each request, together with others, and none lost."""

from __future__ import annotations

import asyncio
import json
import logging
from types import SimpleNamespace
from typing import Any

import pytest

from services.shared.telemetry.access_log import FLUSH_S, AccessLog
from services.shared.telemetry.logs import JsonFormatter
from tests.support.polling import until

KEY = "gs_0123456789ab_" + "s3cret" * 8


class Stream:
    """Standard error, piece by piece."""

    def __init__(self) -> None:
        self.pieces: list[str] = []

    def write(self, text: str) -> int:
        self.pieces.append(text)
        return len(text)

    def flush(self) -> None:
        pass

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for piece in self.pieces for line in piece.splitlines()]


@pytest.fixture
def stream(monkeypatch: pytest.MonkeyPatch) -> Stream:
    stream = Stream()
    # Not `sys.stderr` itself: pytest puts its own there between a fixture and its test.
    monkeypatch.setattr("services.shared.telemetry.access_log.sys", SimpleNamespace(stderr=stream))
    return stream


async def test_a_line_is_what_the_logging_package_would_write(stream: Stream) -> None:
    log, fields = AccessLog("api"), {"path": "/a", "status": 200}
    log.write(fields)
    log.flush()
    record = logging.LogRecord("grayscale.access", logging.INFO, "", 0, "request", (), None)
    vars(record).update(fields)
    expected = json.loads(JsonFormatter("api").format(record))
    [line] = stream.lines
    assert list(line) == list(expected)
    assert len(line.pop("at")) == len(expected.pop("at"))
    assert line == expected


@pytest.mark.parametrize("path", [f"/{KEY}", f"/x?authorization={KEY}"])
async def test_secrets_are_taken_out(stream: Stream, path: str) -> None:
    log = AccessLog("api")
    log.write({"path": path})
    log.flush()
    [line] = stream.lines
    assert "s3cret" not in line["path"]


@pytest.mark.parametrize("path", ["/\ud800", "/\n{}", "/\x00", "/\u2028"])
async def test_no_path_loses_or_breaks_a_line(stream: Stream, path: str) -> None:
    log = AccessLog("api")
    for each in ("/before", path, "/behind"):
        log.write({"path": each})
    log.flush()
    [piece] = stream.pieces
    assert [json.loads(line)["path"] for line in piece.rstrip("\n").split("\n")] == ["/before", path, "/behind"]


async def test_lines_are_written_together_once_they_are_many(stream: Stream) -> None:
    log = AccessLog("api")
    for n in range(300):
        log.write({"n": n})
    assert [piece.count("\n") for piece in stream.pieces] == [128, 128]
    log.flush()
    log.flush()
    assert [line["n"] for line in stream.lines] == list(range(300))
    assert len(stream.pieces) == 3


async def test_a_few_lines_are_written_after_a_moment(stream: Stream) -> None:
    log = AccessLog("api")
    for round_of_lines in (1, 2):
        begin_s = asyncio.get_running_loop().time()
        log.write({"n": 0})
        log.write({"n": 1})
        assert len(stream.pieces) == round_of_lines - 1
        await until(lambda wanted=round_of_lines: len(stream.pieces) == wanted)  # type: ignore[misc]
        assert asyncio.get_running_loop().time() - begin_s >= FLUSH_S * 0.9
    assert len(stream.lines) == 4


async def test_a_stream_that_is_gone_hurts_nobody(monkeypatch: pytest.MonkeyPatch, stream: Stream) -> None:
    def gone(text: str) -> int:
        raise BrokenPipeError(text)

    log = AccessLog("api")
    with monkeypatch.context() as patch:
        patch.setattr(stream, "write", gone)
        for n in range(500):
            log.write({"n": n})
        log.flush()
    log.write({"n": -1})
    log.flush()
    assert [line["n"] for line in stream.lines] == [-1]


async def test_lines_of_requests_that_ended_together_are_lines_like_all_others(stream: Stream) -> None:
    log = AccessLog("api")
    log.write_alike([f'"request_id":"{each}","ms":1.5' for each in ("a", KEY)], {"arm": "stable"})
    log.write_alike(['"request_id":"c"'], {})
    log.write({"request_id": "d"})
    log.flush()
    assert [line.pop("at")[-1] for line in stream.lines] == ["Z"] * 4
    fixed = {"level": "info", "service": "api", "logger": "grayscale.access", "message": "request"}
    lines = [{name: value for name, value in line.items() if name != "at"} for line in stream.lines]
    assert lines == [
        {**fixed, "request_id": "a", "ms": 1.5, "arm": "stable"},
        {**fixed, "request_id": "gs_0123456789ab_***", "ms": 1.5, "arm": "stable"},
        {**fixed, "request_id": "c"},
        {**fixed, "request_id": "d"},
    ]
