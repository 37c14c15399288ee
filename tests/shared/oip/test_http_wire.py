from __future__ import annotations

import contextlib
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput, InferResult

from services.shared.errors import InvalidInput, ServingError
from services.shared.model_ref import ModelRef
from services.shared.oip.base import InferRequest, InferResponse, OutputTensor, RequestedOutput
from services.shared.oip.http_wire import decode_request, encode_response
from services.shared.tensors import NUMPY_DTYPES, Array, datatype_of, encode_raw

REF = ModelRef("m", 3)
FIXED = [dtype for name, dtype in NUMPY_DTYPES.items() if name not in ("BYTES", "BF16")]
ARRAYS = st.sampled_from(FIXED).flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, min_side=0, max_dims=4, max_side=4))
)


def decode(body: bytes, json_length: int | None = None) -> InferRequest:
    return decode_request(body, None if json_length is None else str(json_length), model="m", version=None)


@given(st.lists(ARRAYS, min_size=1, max_size=3))
def test_what_nvidia_s_client_writes_is_read_bit_for_bit(arrays: list[Array]) -> None:
    inputs = [
        InferInput(f"x{i}", list(array.shape), datatype_of(array)).set_data_from_numpy(array)
        for i, array in enumerate(arrays)
    ]

    body, length = InferenceServerClient.generate_request_body(inputs)

    request = decode(body, length)
    assert [encode_raw(array) for array in request.inputs.values()] == [encode_raw(array) for array in arrays]
    assert [array.shape for array in request.inputs.values()] == [array.shape for array in arrays]


@given(ARRAYS, ARRAYS, st.booleans(), st.booleans())
def test_what_is_written_is_read_by_nvidia_s_client(a: Array, b: Array, a_binary: bool, b_binary: bool) -> None:
    a_binary, b_binary = a_binary or a.dtype == np.float16, b_binary or b.dtype == np.float16
    request = InferRequest(
        "m", None, {}, outputs=(RequestedOutput("a", binary=a_binary), RequestedOutput("b", binary=b_binary))
    )
    outputs = tuple(OutputTensor(name, datatype_of(array), array) for name, array in (("a", a), ("b", b)))

    body = encode_response(InferResponse(REF, "id", outputs), request)

    read = InferResult.from_response_body(body.data, header_length=body.json_length)
    assert (body.json_length is not None) == (a_binary or b_binary)
    np.testing.assert_array_equal(read.as_numpy("a"), a)
    np.testing.assert_array_equal(read.as_numpy("b"), b)


@given(st.binary(max_size=200), st.one_of(st.none(), st.text(max_size=6), st.integers(-5, 300).map(str)))
def test_any_bytes_are_read_or_refused(body: bytes, header: str | None) -> None:
    with contextlib.suppress(ServingError):  # anything else would be a defect
        decode_request(body, header, model="m", version=None)


def test_outputs_and_parameters_are_read() -> None:
    x = InferInput("x", [1], "INT32").set_data_from_numpy(np.array([1], np.int32))
    outputs = [InferRequestedOutput("a", class_count=2), InferRequestedOutput("b", binary_data=False)]

    body, length = InferenceServerClient.generate_request_body([x], outputs, request_id="7", priority=1, timeout=5)

    request = decode(body, length)
    assert request.outputs == (RequestedOutput("a", 2, binary=True), RequestedOutput("b", 0, binary=False))
    assert (request.id, request.parameters) == ("7", {"priority": 1, "timeout": 5})


def test_without_outputs_the_client_asks_for_all_in_binary() -> None:
    x = InferInput("x", [1], "INT32").set_data_from_numpy(np.array([1], np.int32))
    body, length = InferenceServerClient.generate_request_body([x])
    request = decode(body, length)
    answer = InferResponse(REF, "", (OutputTensor("y", "BYTES", np.array([b"a", b""], dtype=object)),))

    written = encode_response(answer, request)

    assert request.outputs is None
    assert written.json_length is not None
    head = json.loads(written.data[: written.json_length])
    assert head == {
        "model_name": "m",
        "model_version": "3",
        "outputs": [{"name": "y", "datatype": "BYTES", "shape": [2], "parameters": {"binary_data_size": 9}}],
    }
    assert written.data[written.json_length :] == b"\x01\x00\x00\x00a\x00\x00\x00\x00"


X = {"name": "x", "datatype": "INT8", "shape": [2], "data": [1, 2]}


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ({"inputs": 1}, "list of objects"),
        ({"inputs": [1]}, "list of objects"),
        ({"inputs": [{**X, "name": 1}]}, "name"),
        ({"inputs": [{**X, "datatype": None}]}, "datatype"),
        ({"inputs": [{**X, "shape": "2"}]}, "shape"),
        ({"inputs": [{**X, "shape": [2.0]}]}, "whole numbers"),
        ({"inputs": [{**X, "shape": [True, 2]}]}, "whole numbers"),
        ({"inputs": [{**X, "shape": [1] * 33}]}, "at most 32"),
        ({"inputs": [X, X]}, "given twice"),
        ({"inputs": [X], "id": 5}, "id"),
        ({"inputs": [X], "parameters": []}, "parameters"),
        ({"inputs": [X], "outputs": [{}]}, "name"),
        ({"inputs": [X], "outputs": [{"name": "y", "parameters": {"classification": -1}}]}, "classification"),
        ({"inputs": [X], "outputs": [{"name": "y", "parameters": {"binary_data": 1}}]}, "binary_data"),
        ({"inputs": [{**X, "parameters": {"binary_data_size": True}}]}, "binary_data_size"),
        ({"inputs": [{**X, "parameters": {"binary_data_size": 2**62}}]}, "additional bytes"),
    ],
)
def test_a_request_of_another_form_is_refused(document: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        decode(json.dumps(document).encode())
