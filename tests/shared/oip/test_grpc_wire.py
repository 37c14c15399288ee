from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tritonclient.grpc import service_pb2

from services.shared.errors import InvalidInput, ServingError, Unsupported
from services.shared.model_ref import ModelRef
from services.shared.oip.base import InferResponse, OutputTensor, RequestedOutput
from services.shared.oip.grpc_wire import decode_request, encode_response, parameters_of, version_of


def message(datatype: str = "INT32", shape: tuple[int, ...] = (2,), **contents: Any) -> Any:
    request = service_pb2.ModelInferRequest(model_name="m")
    tensor = request.inputs.add(name="x", datatype=datatype, shape=shape)
    for field, values in contents.items():
        getattr(tensor.contents, field).extend(values)
    return request


@pytest.mark.parametrize(
    ("datatype", "contents", "expected"),
    [
        ("BOOL", {"bool_contents": [True, False]}, [True, False]),
        ("INT8", {"int_contents": [-128, 127]}, [-128, 127]),
        ("INT64", {"int64_contents": [-(2**63), 2**63 - 1]}, [-(2**63), 2**63 - 1]),
        ("UINT64", {"uint64_contents": [0, 2**64 - 1]}, [0, 2**64 - 1]),
        ("FP32", {"fp32_contents": [0.5, -0.25]}, [0.5, -0.25]),
        ("BYTES", {"bytes_contents": [b"", b"\xff"]}, [b"", b"\xff"]),
    ],
)
def test_typed_contents_are_read(datatype: str, contents: dict[str, Any], expected: list[Any]) -> None:
    assert decode_request(message(datatype, **contents)).inputs["x"].tolist() == expected


def with_raw(request: Any, *raws: bytes) -> Any:
    request.raw_input_contents.extend(raws)
    return request


def in_shared_memory() -> Any:
    request = message(int_contents=[1, 2])
    request.inputs[0].parameters["shared_memory_region"].string_param = "r"
    return request


@pytest.mark.parametrize(
    ("request_message", "error", "says"),
    [
        (with_raw(message(int_contents=[1, 2]), b"12345678"), InvalidInput, "must not be specified"),
        (with_raw(message(), b"12345678", b""), InvalidInput, "give one for each"),
        (with_raw(message(), b"1234567"), InvalidInput, "needs 8"),
        (message(), InvalidInput, "0 elements"),
        (message(int_contents=[1]), InvalidInput, "1 elements"),
        (message(fp32_contents=[1, 2]), InvalidInput, "belong in int_contents"),
        (message("INT8", int_contents=[1, 128]), InvalidInput, "does not fit"),
        (message("UINT16", uint_contents=[1, 65536]), InvalidInput, "does not fit"),
        (message("FP16", fp32_contents=[1, 2]), InvalidInput, "raw_input_contents"),
        (message("INT7", int_contents=[1, 2]), InvalidInput, "unknown"),
        (message(shape=(-1,), int_contents=[1]), InvalidInput, "shape"),
        (in_shared_memory(), Unsupported, "shared memory"),
    ],
)
def test_wrong_inputs_are_refused(request_message: Any, error: type[ServingError], says: str) -> None:
    with pytest.raises(error, match=says):
        decode_request(request_message)


def test_an_input_given_twice_is_refused() -> None:
    request = with_raw(message(), b"12345678", b"12345678")
    request.inputs.add(name="x", datatype="INT32", shape=[2])

    with pytest.raises(InvalidInput, match="given twice"):
        decode_request(request)


def test_outputs_and_parameters_are_read() -> None:
    request = message(int_contents=[1, 2])
    request.parameters["priority"].uint64_param = 3
    request.parameters["empty"].SetInParent()
    request.outputs.add(name="y").parameters["classification"].int64_param = 5

    decoded = decode_request(request)

    assert decoded.parameters == {"priority": 3}
    assert decoded.outputs == (RequestedOutput("y", 5),)
    assert decoded.version is None


@pytest.mark.parametrize(("text", "version"), [("", None), ("12", 12)])
def test_an_empty_version_asks_for_any(text: str, version: int | None) -> None:
    assert version_of(text) == version


@pytest.mark.parametrize("text", ["0", "-1", "01", "v2"])
def test_a_version_that_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        version_of(text)


def test_answers_carry_raw_contents() -> None:
    outputs = (
        OutputTensor("a", "FP32", np.array([[1.0]], np.float32)),
        OutputTensor("b", "BYTES", np.array([b"xy"], dtype=object)),
    )

    answer = encode_response(InferResponse(ModelRef("m", 2), "7", outputs))

    assert (answer.model_name, answer.model_version, answer.id) == ("m", "2", "7")
    assert [(o.name, o.datatype, list(o.shape)) for o in answer.outputs] == [("a", "FP32", [1, 1]), ("b", "BYTES", [1])]
    assert list(answer.raw_output_contents) == [b"\x00\x00\x80?", b"\x02\x00\x00\x00xy"]


def test_every_kind_of_repository_parameter_is_read() -> None:
    request = service_pb2.RepositoryModelLoadRequest()
    request.parameters["version"].int64_param = 4
    request.parameters["config"].string_param = "{}"
    request.parameters["unload_dependents"].bool_param = False
    request.parameters["file:1/model.onnx"].bytes_param = b"x"

    assert parameters_of(request.parameters) == {
        "version": 4,
        "config": "{}",
        "unload_dependents": False,
        "file:1/model.onnx": b"x",
    }
