"""JSON as Triton reads and writes it: `NaN`, `Infinity` and `-Infinity` are numbers, integers are exact. Pure.

Source: triton-inference-server/common `triton_json.h` (kParseNanAndInfFlag, kWriteNanAndInfFlag).
"""

from __future__ import annotations

import json
from typing import Any

import orjson

from services.shared.errors import InvalidInput


def read(text: bytes | memoryview) -> dict[str, Any]:
    """The object in a request's JSON; raises InvalidInput when there is none. An integer beyond 64 bits is a float."""
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError:
        document = _read_slowly(bytes(text))  # knows NaN and Infinity, which orjson refuses
    if not isinstance(document, dict):
        raise InvalidInput("the request must be a JSON object")
    return document


def write(document: Any, *, finite: bool = True) -> bytes:
    """A document whose leaves may be flat NumPy arrays; `finite: False` when one of them holds NaN or Infinity."""
    if finite:
        try:
            return orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)
        except orjson.JSONEncodeError:  # a name or an id with half of a surrogate pair, which is given back as it came
            pass
    # orjson would write NaN as null
    return json.dumps(document, default=lambda array: array.tolist(), separators=(",", ":")).encode()


def _read_slowly(text: bytes) -> Any:
    try:
        return json.loads(text)
    except RecursionError:
        raise InvalidInput("the request's JSON is nested too deeply") from None
    except ValueError as error:
        raise InvalidInput(f"failed to parse the request JSON buffer: {error}") from error
