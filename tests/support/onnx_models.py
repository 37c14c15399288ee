"""Small ONNX models, made for tests."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

ELEMENT_TYPES = {
    "BOOL": TensorProto.BOOL,
    "UINT8": TensorProto.UINT8,
    "UINT16": TensorProto.UINT16,
    "UINT32": TensorProto.UINT32,
    "UINT64": TensorProto.UINT64,
    "INT8": TensorProto.INT8,
    "INT16": TensorProto.INT16,
    "INT32": TensorProto.INT32,
    "INT64": TensorProto.INT64,
    "FP16": TensorProto.FLOAT16,
    "FP32": TensorProto.FLOAT,
    "FP64": TensorProto.DOUBLE,
    "BF16": TensorProto.BFLOAT16,
    "BYTES": TensorProto.STRING,
}

Shape = Sequence[int | str | None]  # a word or None stands for a dimension of any size


def identity(datatype: str = "FP32", shape: Shape = ("batch", 4)) -> onnx.ModelProto:
    """y = x."""
    return _model([helper.make_node("Identity", ["x"], ["y"])], datatype, shape, shape)


def scaled(factor: float, shape: Shape = ("batch", 4)) -> onnx.ModelProto:
    """y = x * factor, FP32."""
    weight = numpy_helper.from_array(np.array(factor, dtype=np.float32), "factor")
    return _model([helper.make_node("Mul", ["x", "factor"], ["y"])], "FP32", shape, shape, [weight])


def slow(width: int = 1024, depth: int = 12) -> onnx.ModelProto:
    """y = x times `depth` scaled identity matrices: a row comes out as it went in, after some milliseconds, FP32."""
    weight = numpy_helper.from_array(np.eye(width, dtype=np.float32), "weight")
    names = ["x", *(f"h{i}" for i in range(1, depth)), "y"]
    nodes = [helper.make_node("MatMul", [a, "weight"], [b]) for a, b in pairwise(names)]
    return _model(nodes, "FP32", ("batch", width), ("batch", width), [weight])


def convolved(filters: int = 512, shape: Sequence[int] = (256, 8, 8)) -> onnx.ModelProto:
    """y = the mean of each of 3 x 3 random filters over x, FP32; its 4.7 MB of weights are laid out anew by the runtime
    when it optimises the graph."""
    random = np.random.default_rng(0)
    weight = random.standard_normal((filters, shape[0], 3, 3), dtype=np.float32) / 50
    nodes = [
        helper.make_node("Conv", ["x", "weight"], ["filtered"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["filtered"], ["positive"]),
        helper.make_node("GlobalAveragePool", ["positive"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["y"]),
    ]
    weights = [numpy_helper.from_array(weight, "weight")]
    return _model(nodes, "FP32", ("batch", *shape), ("batch", filters), weights)


def widened(width: int = 1_000_000) -> onnx.ModelProto:
    """y = the largest of x's row, after every row was blown up to `width` numbers: a run takes 4 MB and more for each
    row, FP32."""
    ones = numpy_helper.from_array(np.ones((1, width), dtype=np.float32), "ones")
    axes = numpy_helper.from_array(np.array([1], dtype=np.int64), "axes")
    nodes = [
        helper.make_node("MatMul", ["x", "ones"], ["wide"]),
        helper.make_node("ReduceMax", ["wide", "axes"], ["y"]),
    ]
    return _model(nodes, "FP32", ("batch", 1), ("batch", 1), [ones, axes])


def summed(shape: Shape = ("batch", 4)) -> onnx.ModelProto:
    """y = the sum over everything, the batch included: an output whose first dimension is not the batch."""
    return _model([helper.make_node("ReduceSum", ["x"], ["y"], keepdims=0)], "FP32", shape, ())


def reshaped(row: int = 4) -> onnx.ModelProto:
    """y = x reshaped to rows of 2; fails at run time for an x whose last dimension is odd. FP32, both of any size."""
    target = numpy_helper.from_array(np.array([0, -1, row], dtype=np.int64), "target")
    node = helper.make_node("Reshape", ["x", "target"], ["y"])
    return _model([node], "FP32", ("batch", "width"), ("batch", "rows", row), [target])


def added() -> onnx.ModelProto:
    """sum = a + b and difference = a - b, FP32, rows of 2."""
    make = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Add", ["a", "b"], ["sum"]), helper.make_node("Sub", ["a", "b"], ["difference"])],
        "added",
        [make(name, TensorProto.FLOAT, ["batch", 2]) for name in ("a", "b")],
        [make(name, TensorProto.FLOAT, ["batch", 2]) for name in ("sum", "difference")],
    )
    return _finish(graph)


def dynamically_quantized() -> onnx.ModelProto:
    """y = x, rounded to 8 bits between its own extremes, FP32: ONNX Runtime knows the operator, TensorRT does not."""
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["rounded", "scale", "zero"]),
        helper.make_node("DequantizeLinear", ["rounded", "scale", "zero"], ["y"]),
    ]
    return _model(nodes, "FP32", ("batch", 4), ("batch", 4))


def write(model: onnx.ModelProto, path: Path) -> Path:
    """Writes the model, with the directories that it needs, and gives the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model.SerializeToString())
    return path


def _model(
    nodes: list[onnx.NodeProto],
    datatype: str,
    given: Shape,
    made: Shape,
    weights: Sequence[onnx.TensorProto] = (),
) -> onnx.ModelProto:
    element = ELEMENT_TYPES[datatype]
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", element, list(given))],
        [helper.make_tensor_value_info("y", element, list(made))],
        list(weights),
    )
    return _finish(graph)


def _finish(graph: onnx.GraphProto) -> onnx.ModelProto:
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])
    model.ir_version = 10
    onnx.checker.check_model(model)
    return model
