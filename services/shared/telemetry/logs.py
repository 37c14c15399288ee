"""One JSON line per event on standard error: time, level, logger, message, and what was given as `extra`."""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import Any

import orjson

from services.shared.redaction import redact

_STANDARD = frozenset(vars(logging.LogRecord("", 0, "", 0, "", (), None))) | {"message", "asctime", "color_message"}


class JsonFormatter(logging.Formatter):
    """A record as one line of JSON; `extra` keys become keys of the line."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "at": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "service": self._service,
            "logger": record.name,
            "message": record.getMessage(),
        }
        line.update({key: value for key, value in vars(record).items() if key not in _STANDARD})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return redact(json_line(line))  # last, so that no secret passes by another way


def json_line(line: dict[str, Any]) -> str:
    """An object without a line end in it, whatever is in `line`."""
    try:
        return orjson.dumps(line, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:  # a number beyond 64 bits, half of a surrogate pair (of a file name): a line is never lost
        return json.dumps(line, default=str, skipkeys=True)


def log_as_json(service: str, level: str = "info") -> None:
    """Makes every logger of this process write JSON lines; called once, by the process's entry."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(service))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)  # starts and stops are told by those who cause them
