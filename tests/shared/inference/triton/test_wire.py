from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from tritonclient.grpc import service_pb2 as pb

from services.shared.config_pbtxt import parse_config
from services.shared.errors import InferenceFailed
from services.shared.inference.base import IndexEntry
from services.shared.inference.triton.wire import (
    MAX_CLASSES,
    class_count,
    class_labels,
    index_entries,
    infer_request,
    infer_result,
    model_metadata,
    model_statistics,
)
from services.shared.model_ref import ModelRef
from services.shared.priority import Priority
from services.shared.tensors import Array, TensorSpec, decode_raw

REF = ModelRef("pets", 3)


def texts(*values: bytes) -> Array:
    return np.array(values, dtype=object)


@pytest.mark.parametrize(
    "array",
    [
        np.arange(12, dtype=np.uint8).reshape(3, 4),
        np.arange(12, dtype=np.int64).reshape(3, 4)[:, ::2],
        np.arange(12, dtype=np.float32).reshape(3, 4).T,
        np.arange(3, dtype=">f4"),
        np.array([True, False]),
        np.arange(4).astype(ml_dtypes.bfloat16),
        np.array(7, dtype=np.int32),
        np.zeros((0, 4), np.float32),
        np.arange(300, dtype=np.uint8),  # a length of two varint bytes
        texts(b"", b"one", b"\x00\xff"),
    ],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
def test_a_tensor_arrives_as_it_was(array: Array) -> None:
    other = np.ones((2, 2), np.float32)
    message = pb.ModelInferRequest.FromString(infer_request(REF, {"x": array, "y": other}))
    assert (message.model_name, message.model_version) == ("pets", "3")
    for name, sent, tensor, raw in zip("xy", (array, other), message.inputs, message.raw_input_contents, strict=True):
        assert tensor.name == name
        assert tuple(tensor.shape) == sent.shape
        np.testing.assert_array_equal(decode_raw(raw, tensor.datatype, tensor.shape), sent)


def test_a_request_names_its_outputs_and_what_they_shall_be() -> None:
    message = pb.ModelInferRequest.FromString(
        infer_request(REF, {}, outputs=["p"], classification=5, priority=Priority.LOW, timeout_s=1e-9)
    )
    assert [(each.name, each.parameters["classification"].int64_param) for each in message.outputs] == [("p", 5)]
    assert message.parameters["priority"].uint64_param == 3
    assert message.parameters["timeout"].int64_param == 1  # 0 would mean none


def response(datatype: str, shape: list[int], *, raw: bytes | None = None, **contents: Any) -> Any:
    message = pb.ModelInferResponse()
    output = message.outputs.add(name="y", datatype=datatype, shape=shape)
    if raw is not None:
        message.raw_output_contents.append(raw)
    for name, values in contents.items():
        getattr(output.contents, name).extend(values)
    return message


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (response("INT16", [2], raw=b"\x01\x00\x02\x00"), np.array([1, 2], np.int16)),
        (response("INT16", [2], int_contents=[1, 2]), np.array([1, 2], np.int16)),
        (response("FP32", [1, 2], fp32_contents=[0.5, 2]), np.array([[0.5, 2]], np.float32)),
        (response("BOOL", [1], bool_contents=[True]), np.array([True])),
        (response("BYTES", [1], bytes_contents=[b"cat"]), texts(b"cat")),
        (response("BYTES", [1], raw=b"\x03\x00\x00\x00cat"), texts(b"cat")),
    ],
)
def test_an_answer_is_read_raw_or_typed(message: Any, expected: Array) -> None:
    output = infer_result(message).outputs["y"]
    np.testing.assert_array_equal(output, expected)
    assert output.dtype == expected.dtype


@pytest.mark.parametrize(
    "message",
    [
        response("FP32", [3], raw=b"\x00" * 8),
        response("FP32", [3], fp32_contents=[1.0]),
        response("COMPLEX", [1], raw=b"\x00"),
        response("FP16", [1]),
        response("FP32", [-1], raw=b""),
        pb.ModelInferResponse(raw_output_contents=[b""]),
    ],
    ids=["too short", "too few", "unknown type", "typed half floats", "negative shape", "contents without output"],
)
def test_an_answer_that_cannot_be_read_is_a_failure_of_the_server(message: Any) -> None:
    with pytest.raises(InferenceFailed):
        infer_result(message)


@pytest.mark.parametrize(
    ("classes", "expected"),
    [
        (texts(b"0.9:1:dog", b"0.1:0:cat"), ("cat", "dog")),
        (texts(b"0.9:1", b"0.1:0"), ()),
        (texts(b"0.9:1", b"nan:0:cat"), ("cat",)),
        (texts(b"0.9:2:a:b", b"0.1:0", b"0.0:1:c"), ("", "c", "a:b")),
    ],
    ids=["best first", "no labels", "labels for some", "a colon in a label"],
)
def test_labels_stand_at_their_index(classes: Array, expected: tuple[str, ...]) -> None:
    assert class_labels(classes) == expected


@pytest.mark.parametrize("text", [b"cat", b"0.5:x:cat", b"0.5:-1:cat", b"0.5:99999999:cat"])
def test_a_class_that_cannot_be_read_is_a_failure_of_the_server(text: bytes) -> None:
    with pytest.raises(InferenceFailed):
        class_labels(texts(text))


@pytest.mark.parametrize(("shape", "expected"), [((3,), 3), ((2, 5), 10), ((), 1), ((-1,), MAX_CLASSES)])
def test_as_many_classes_as_an_output_can_have_are_asked_for(shape: tuple[int, ...], expected: int) -> None:
    assert class_count(TensorSpec("p", "FP32", shape)) == expected


@pytest.mark.parametrize(("max_batch_size", "expected"), [(8, (2, 3)), (0, (-1, 2, 3))])
def test_metadata_shapes_lose_the_batch_dimension_that_the_config_does_not_have(
    max_batch_size: int, expected: tuple[int, ...]
) -> None:
    message = pb.ModelMetadataResponse(platform="onnxruntime_onnx", versions=["10", "9", "x"])
    message.inputs.add(name="x", datatype="UINT8", shape=[-1, 2, 3])
    config = parse_config(f'backend: "onnxruntime" max_batch_size: {max_batch_size}', name="pets")
    metadata = model_metadata(REF, message, config)
    assert metadata.inputs == (TensorSpec("x", "UINT8", expected),)
    assert metadata.versions == (9, 10)


def test_the_index_is_sorted_and_a_model_never_loaded_is_unavailable() -> None:
    message = pb.RepositoryIndexResponse()
    message.models.add(name="b", version="10", state="READY")
    message.models.add(name="b", version="9", state="UNAVAILABLE", reason="unloaded")
    message.models.add(name="a")
    assert index_entries(message) == (
        IndexEntry("a", None, "UNAVAILABLE"),
        IndexEntry("b", 9, "UNAVAILABLE", "unloaded"),
        IndexEntry("b", 10, "READY"),
    )


def test_statistics_keep_counts_times_and_batches() -> None:
    message = pb.ModelStatisticsResponse()
    each = message.model_stats.add(name="pets", version="3", last_inference=5, inference_count=7, execution_count=2)
    each.inference_stats.queue.count, each.inference_stats.queue.ns = 2, 99
    each.batch_stats.add(batch_size=4).compute_infer.ns = 11
    message.model_stats.add(name="an ensemble", version="1")
    (of_model,) = model_statistics(message)
    assert (of_model.ref, of_model.last_inference_ms, of_model.inference_count) == (REF, 5, 7)
    assert (of_model.queue.count, of_model.queue.ns) == (2, 99)
    assert of_model.batch_executions[4][1].ns == 11
