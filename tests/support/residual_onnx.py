"""A small residual classifier as ONNX, the shape of a ResNet-18 with few channels: what TensorRT fuses is in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SIDE, CLASSES = 32, 10


@dataclass
class _Graph:
    random: np.random.Generator
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    weights: list[onnx.TensorProto] = field(default_factory=list)

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        name = f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], name=f"node_{name}", **attributes))
        return name

    def constant(self, value: np.ndarray) -> str:
        name = f"constant_{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(value, name))
        return name

    def weight(self, *shape: int) -> str:
        deviation = (
            2 / np.prod(shape[1:])
        ) ** 0.5  # He et al. 2015: keeps the spread of activations from layer to layer
        return self.constant((self.random.standard_normal(shape) * deviation).astype(np.float32))

    def convolution(self, x: str, channels: tuple[int, int], *, kernel: int = 3, stride: int = 1) -> str:
        given, made = channels
        weights = (self.weight(made, given, kernel, kernel), self.constant(np.zeros(made, np.float32)))
        pad = kernel // 2
        return self.add("Conv", x, *weights, kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=[pad] * 4)

    def block(self, x: str, channels: tuple[int, int], *, stride: int = 1) -> str:
        inner = self.add("Relu", self.convolution(x, channels, stride=stride))
        inner = self.convolution(inner, (channels[1], channels[1]))
        short = x if stride == 1 else self.convolution(x, channels, kernel=1, stride=stride)
        return self.add("Relu", self.add("Add", inner, short))


def residual() -> onnx.ModelProto:
    """uint8 [batch, 32, 32, 3] to probabilities [batch, 10], normalised inside; seeded weights."""
    graph = _Graph(np.random.default_rng(0))
    x = graph.add("Cast", "image", to=TensorProto.FLOAT)
    x = graph.add("Mul", x, graph.constant(np.full(3, 1 / 64, np.float32)))
    x = graph.add("Add", x, graph.constant(np.full(3, -2, np.float32)))
    x = graph.add("Transpose", x, perm=[0, 3, 1, 2])
    x = graph.add("Relu", graph.convolution(x, (3, 16), kernel=7, stride=2))
    x = graph.add("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    x = graph.block(graph.block(x, (16, 16)), (16, 16))
    x = graph.block(graph.block(x, (16, 32), stride=2), (32, 32))
    x = graph.add("Flatten", graph.add("GlobalAveragePool", x))
    x = graph.add("Gemm", x, graph.weight(CLASSES, 32), graph.constant(np.zeros(CLASSES, np.float32)), transB=1)
    graph.nodes.append(helper.make_node("Softmax", [x], ["probabilities"], name="softmax", axis=1))
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", SIDE, SIDE, 3])
    made = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", CLASSES])
    model = helper.make_model(
        helper.make_graph(graph.nodes, "residual", [image], [made], graph.weights),
        opset_imports=[helper.make_opsetid("", 20)],
    )
    model.ir_version = 10
    onnx.checker.check_model(model)
    return model
