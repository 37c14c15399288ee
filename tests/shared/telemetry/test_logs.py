"""One JSON line per event, whatever an event holds."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from services.shared.telemetry.logs import JsonFormatter, log_as_json

KEY = "gs_0123456789ab_" + "s3cret" * 8


class Lines(logging.Handler):
    """Keeps what is written, as text."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(JsonFormatter("api"))
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(self.format(record))

    @property
    def last(self) -> dict[str, Any]:
        [*_, text] = self.texts
        assert "\n" not in text
        document: dict[str, Any] = json.loads(text)
        return document


@pytest.fixture
def lines() -> Lines:
    return Lines()


@pytest.fixture
def log(lines: Lines) -> Iterator[logging.Logger]:
    log = logging.getLogger("tests.telemetry.logs")
    log.addHandler(lines)
    log.propagate = False
    log.setLevel(logging.DEBUG)
    yield log
    log.removeHandler(lines)
    log.propagate = True
    log.setLevel(logging.NOTSET)


def test_a_line_says_when_how_grave_who_and_what(log: logging.Logger, lines: Lines) -> None:
    log.warning("the %s is %d", "queue", 7)
    line = lines.last
    at = datetime.fromisoformat(line.pop("at"))
    assert at.tzinfo is not None
    assert line == {
        "level": "warning",
        "service": "api",
        "logger": "tests.telemetry.logs",
        "message": "the queue is 7",
    }


def test_the_time_has_milliseconds_and_is_utc() -> None:
    record = logging.makeLogRecord({"msg": "x", "created": 1_800_000_000.0625, "msecs": 62.0})
    assert json.loads(JsonFormatter("api").format(record))["at"] == "2027-01-15T08:00:00.062Z"


def test_extra_keys_become_keys_of_the_line_and_nothing_else_does(log: logging.Logger, lines: Lines) -> None:
    log.info("x", extra={"model": "digits/1", "ms": 1.5, "tags": ["a", "b"], "none": None})
    assert set(lines.last) == {"at", "level", "service", "logger", "message", "model", "ms", "tags", "none"}
    assert (lines.last["model"], lines.last["ms"], lines.last["tags"]) == ("digits/1", 1.5, ["a", "b"])


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (Path("/a/b"), "/a/b"),
        (b"x", "b'x'"),
        ({1: "one", "two": 2}, {"1": "one", "two": 2}),
        ({("a", 1): 2}, {}),  # such a key has no place in JSON: the line comes without it
        (2**70, 2**70),
        (float("nan"), None),
        (ValueError("why"), "why"),
        ("half \udcff of a pair", "half \udcff of a pair"),  # a file name that is not UTF-8
        ("several\nlines", "several\nlines"),
    ],
)
def test_any_value_can_be_written(log: logging.Logger, lines: Lines, value: object, written: object) -> None:
    log.info("x", extra={"value": value, "beside": 1})
    assert lines.last["value"] == written
    assert lines.last["beside"] == 1


def test_a_message_that_is_not_unicode_is_written() -> None:
    name = b"caf\xe9".decode(errors="surrogateescape")
    record = logging.LogRecord("x", logging.INFO, "f", 1, "no such file: %s", (name,), None)
    assert json.loads(JsonFormatter("api").format(record))["message"] == "no such file: caf\udce9"


def test_an_exception_is_part_of_its_line(log: logging.Logger, lines: Lines) -> None:
    try:
        raise ValueError("why")
    except ValueError:
        log.exception("it failed")
    assert lines.last["level"] == "error"
    assert lines.last["exception"].startswith("Traceback (most recent call last):\n")
    assert lines.last["exception"].endswith("ValueError: why")


@pytest.mark.parametrize("where", ["message", "argument", "extra", "nested", "exception"])
def test_a_secret_is_written_nowhere(log: logging.Logger, lines: Lines, where: str) -> None:
    match where:
        case "message":
            log.info(f"refused {KEY}")
        case "argument":
            log.info("refused %s", KEY)
        case "extra":
            log.info("refused", extra={"key": KEY})
        case "nested":
            log.info("refused", extra={"headers": [(b"authorization", f"Bearer {KEY}".encode())], "big": 2**70})
        case _:
            try:
                raise ValueError(KEY)
            except ValueError:
                log.exception("refused")
    assert lines.last["message"].startswith("refused")
    assert "s3cret" not in lines.texts[-1]
    assert "gs_0123456789ab_***" in lines.texts[-1]


def test_every_logger_of_a_process_writes_json_on_standard_error() -> None:
    script = """
import logging
from services.shared.telemetry.logs import log_as_json
logging.getLogger("early").addHandler(logging.StreamHandler())
log_as_json("api", "warning")
logging.getLogger("a.b").warning("one", extra={"n": 1})
logging.getLogger("a.b").info("not this one")
logging.getLogger("c").error("two")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == ""
    written = [json.loads(line) for line in done.stderr.splitlines()]
    assert [(line["service"], line["message"], line["level"]) for line in written] == [
        ("api", "one", "warning"),
        ("api", "two", "error"),
    ]


def test_a_level_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(ValueError, match="LOUD"):
        log_as_json("api", "loud")
