"""Tensor data in JSON: nested or flat lists to arrays, arrays to flat lists. Pure.

Follows triton-inference-server/server `http_server.cc` (`ReadDataFromJson`, `WriteDataToJson`), but refuses a number
that its datatype cannot hold, where Triton wraps it around.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np

from services.shared.errors import InvalidInput
from services.shared.oip.base import MAX_RANK
from services.shared.tensors import BYTES, Array, element_count, numpy_dtype

BINARY_ONLY = ("FP16", "BF16")  # JSON numbers do not say which half precision they would round to
_ACCEPTED: dict[str, frozenset[type]] = {  # by NumPy's kind
    "b": frozenset({bool}),
    "i": frozenset({int}),
    "u": frozenset({int}),
    "f": frozenset({int, float}),
    "O": frozenset({str}),
}
_WORDS = {"b": "true or false", "i": "whole numbers", "u": "whole numbers", "f": "numbers", "O": "strings"}


def decode_json(data: object, datatype: str, shape: Sequence[int], *, field: str) -> Array:
    """The array in a `data` list, flat or nested in any way, in row-major order; raises InvalidInput."""
    if datatype in BINARY_ONLY:
        raise InvalidInput(
            f"receiving {datatype} data via JSON is not supported. Please use the binary data format for input",
            field=field,
        )
    dtype, count = numpy_dtype(datatype, field=field), element_count(shape, field=field)
    flat = _flatten(data, field)
    if len(flat) != count:
        raise InvalidInput(
            f"{field}: data has {len(flat)} elements, but shape {list(shape)} needs {count}", field=field
        )
    if not set(map(type, flat)) <= _ACCEPTED[dtype.kind]:
        raise InvalidInput(f"{field}: the data of {datatype} must be {_WORDS[dtype.kind]}", field=field)
    return _array(flat, datatype, dtype, field).reshape(shape)


def encode_json(array: Array, datatype: str, *, name: str) -> list[Any] | Array:
    """The `data` of an output, flat, for `json_document.write`; raises InvalidInput for what JSON cannot carry."""
    if datatype in BINARY_ONLY:
        raise InvalidInput(
            f"sending {datatype} data via JSON is not supported. Please use the binary data format for output",
            field=f"outputs.{name}",
        )
    if datatype != BYTES:
        return np.ascontiguousarray(array).reshape(-1)
    try:
        return [each.decode() if isinstance(each, bytes) else str(each) for each in array.reshape(-1)]
    except UnicodeDecodeError:
        raise InvalidInput(
            f"output {name!r} holds bytes that are not UTF-8: ask for it with binary_data", field=f"outputs.{name}"
        ) from None


def _flatten(data: object, field: str) -> list[Any]:
    if not isinstance(data, list):
        raise InvalidInput(f"{field}: data is missing or not a list", field=field)
    for _ in range(MAX_RANK):
        nested = [isinstance(each, list) for each in data]
        if not any(nested):
            return data
        if not all(nested):
            raise InvalidInput(f"{field}: data mixes lists and values on one level", field=field)
        data = list(chain.from_iterable(data))
    raise InvalidInput(f"{field}: data is nested deeper than {MAX_RANK} lists", field=field)


def _array(flat: list[Any], datatype: str, dtype: np.dtype[Any], field: str) -> Array:
    if dtype.kind == "O":
        array = np.empty(len(flat), dtype=object)
        try:
            array[:] = [each.encode() for each in flat]
        except UnicodeEncodeError:
            raise InvalidInput(f"{field}: a string holds half of a surrogate pair", field=field) from None
        return array
    try:
        if dtype.kind != "f":
            return np.array(flat, dtype=dtype)  # exact, and out of range raises OverflowError
        wide = np.array(flat, dtype=np.float64)
    except OverflowError:
        raise InvalidInput(f"{field}: a number does not fit {datatype}", field=field) from None
    with np.errstate(over="ignore"):
        array = wide.astype(dtype)
    if (np.isinf(array) & np.isfinite(wide)).any():
        raise InvalidInput(f"{field}: a number does not fit {datatype}", field=field)
    return array
