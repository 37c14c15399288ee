from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from services.shared.errors import InvalidInput
from services.shared.oip import json_document
from services.shared.oip.json_tensor import decode_json, encode_json
from services.shared.tensors import Array


@pytest.mark.parametrize(
    ("data", "datatype", "shape", "expected"),
    [
        ([1, 2, 3, 4], "INT32", (2, 2), [[1, 2], [3, 4]]),
        ([[1, 2], [3, 4]], "INT32", (2, 2), [[1, 2], [3, 4]]),
        ([[[1], [2]], [[3], [4]]], "INT32", (4,), [1, 2, 3, 4]),
        ([2**64 - 1, 2**53 + 1], "UINT64", (2,), [2**64 - 1, 2**53 + 1]),
        ([True, False], "BOOL", (2,), [True, False]),
        ([1, 2.5], "FP64", (2,), [1.0, 2.5]),
        (["a", ["b"]][:1], "BYTES", (1,), [b"a"]),
        ([], "FP32", (0, 3), []),
        ([[]], "FP32", (1, 0), [[]]),
    ],
)
def test_data_is_read_in_row_major_order(data: object, datatype: str, shape: tuple[int, ...], expected: object) -> None:
    assert decode_json(data, datatype, shape, field="x").tolist() == expected


@pytest.mark.parametrize(
    ("data", "datatype", "says"),
    [
        (None, "INT32", "missing"),
        ("12", "INT32", "not a list"),
        ([1], "INT32", "1 elements"),
        ([1, [2]], "INT32", "mixes"),
        ([1, 2.0], "INT32", "whole numbers"),
        ([1, True], "INT32", "whole numbers"),
        ([1, None], "FP32", "numbers"),
        ([1, "2"], "FP32", "numbers"),
        ([0, 1], "BOOL", "true or false"),
        ([1, 2], "BYTES", "strings"),
        ([0, 256], "UINT8", "does not fit"),
        ([0, -1], "UINT64", "does not fit"),
        ([0, 2**200], "INT64", "does not fit"),
        ([0, 10**400], "FP64", "does not fit"),
        ([float("nan"), 1e39], "FP32", "does not fit"),
        (["a", "\ud800"], "BYTES", "surrogate"),
        ([1, 2], "FP16", "receiving FP16"),
        ([1, 2], "BF16", "receiving BF16"),
        ([1, 2], "INT7", "unknown"),
        (json.loads("[" * 40 + "1" + "]" * 40), "INT32", "nested deeper"),
    ],
)
def test_wrong_data_is_refused(data: object, datatype: str, says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        decode_json(data, datatype, (2,), field="x")


@pytest.mark.parametrize(
    ("array", "datatype", "text"),
    [
        (np.array([[1, 2], [3, 4]], np.int8).T, "INT8", b"[1,3,2,4]"),
        (np.array([2**64 - 1], np.uint64), "UINT64", b"[18446744073709551615]"),
        (np.array([True, False]), "BOOL", b"[true,false]"),
        (np.array([0.1], np.float32), "FP32", b"[0.1]"),
        (np.array([b"gr\xc3\xbcn", "a"], dtype=object), "BYTES", '["grün","a"]'.encode()),
        (np.array(5, np.int32), "INT32", b"[5]"),
    ],
)
def test_an_output_is_written_flat(array: Array, datatype: str, text: bytes) -> None:
    assert json_document.write(encode_json(array, datatype, name="y")) == text


def test_bytes_that_are_no_text_are_refused_in_json() -> None:
    with pytest.raises(InvalidInput, match="binary_data"):
        encode_json(np.array([b"\xff"], dtype=object), "BYTES", name="y")


def test_nan_and_infinity_are_written_as_triton_writes_them() -> None:
    array = np.array([np.nan, np.inf, -np.inf, 0.5], np.float32)

    assert json_document.write({"data": array}, finite=False) == b'{"data":[NaN,Infinity,-Infinity,0.5]}'


@pytest.mark.parametrize(
    ("text", "document"),
    [(b'{"a":[Infinity,-Infinity]}', {"a": [float("inf"), float("-inf")]}), (b'{"a":"\\u00fc"}', {"a": "ü"})],
)
def test_triton_s_json_is_read(text: bytes, document: dict[str, Any]) -> None:
    assert json_document.read(text) == document


@pytest.mark.parametrize("text", [b"", b"{", b"1", b"null", b"\xff", b"[" * 200_000, b'{"a":' * 100_000])
def test_what_is_not_an_object_is_refused(text: bytes) -> None:
    with pytest.raises(InvalidInput):
        json_document.read(text)
