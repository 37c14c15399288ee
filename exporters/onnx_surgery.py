"""Puts what serving needs around the graph of an existing ONNX file: pixels in front, the task's outputs behind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, compose, helper, numpy_helper

from exporters.onnx_plan import SourceInput, SourceOutput
from exporters.recipe import InputRecipe, Recipe
from exporters.task_outputs import INPUT

_PREFIX = "source/"  # so that no name of the file meets one of ours
_STEPS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "softmax": ("Softmax", {"axis": 1}),
    "unit": ("LpNormalization", {"axis": 1, "p": 2}),
    "argmax": ("ArgMax", {"axis": 1, "keepdims": 0}),
}


def surround(
    model: onnx.ModelProto, before: SourceInput, after: Sequence[SourceOutput], recipe: Recipe
) -> onnx.ModelProto:
    """A new model: `image` uint8 [batch, height, width, channels] in, the task's outputs out."""
    given = compose.add_prefix(model, _PREFIX)
    first, weights = _front(before, recipe.input)
    last = [node for output in after for node in _behind(output, _type_of(output, recipe))]
    size: list[int | str | None] = ["batch", recipe.input.height, recipe.input.width, recipe.input.channels]
    made = onnx.ModelProto()
    made.CopyFrom(given)
    for field in ("node", "input", "output", "value_info"):  # the last is inferred anew: the sizes are known now
        made.graph.ClearField(field)
    for nodes in (first, given.graph.node, last):
        made.graph.node.extend(nodes)
    made.graph.input.append(helper.make_tensor_value_info(INPUT, TensorProto.UINT8, size))
    made.graph.output.extend(_value(given.graph, output, recipe) for output in after)
    made.graph.initializer.extend(weights)
    return made


def _front(source: SourceInput, picture: InputRecipe) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """Cast, transpose, multiply, add: the cast first, because TensorRT refuses to transpose uint8, and the channel's
    numbers behind the transpose, because ONNX Runtime multiplies along the last dimension one element at a time."""
    target = _PREFIX + source.name
    if source.layout == "pixels":
        return [helper.make_node("Identity", [INPUT], [target], name="take_pixels")], []
    deviations = np.array(picture.std, np.float32)
    scale, shift = 1 / (255 * deviations), -np.array(picture.mean, np.float32) / deviations
    per_channel = (-1, 1, 1) if source.layout == "nchw" else (-1,)
    weights = [
        numpy_helper.from_array(scale.reshape(per_channel).astype(np.float32), "pixel_scale"),
        numpy_helper.from_array(shift.reshape(per_channel).astype(np.float32), "pixel_shift"),
    ]
    chain: list[tuple[str, list[str], dict[str, Any]]] = [
        ("Cast", [], {"to": TensorProto.FLOAT}),
    ]
    if source.layout == "nchw":
        chain.append(("Transpose", [], {"perm": [0, 3, 1, 2]}))
    chain += [("Mul", ["pixel_scale"], {}), ("Add", ["pixel_shift"], {})]
    if source.dtype == np.float16:
        chain.append(("Cast", [], {"to": TensorProto.FLOAT16}))
    names = [INPUT, *(f"normalised_{i}" for i in range(len(chain) - 1)), target]
    nodes = [
        helper.make_node(operator, [names[i], *more], [names[i + 1]], name=f"normalise_{i}", **attributes)
        for i, (operator, more, attributes) in enumerate(chain)
    ]
    return nodes, weights


def _behind(output: SourceOutput, element: int) -> list[onnx.NodeProto]:
    source, nodes = _PREFIX + output.source, []
    if output.step != "as_is":
        operator, attributes = _STEPS[output.step]
        between = f"{output.name}_{output.step}"
        nodes.append(helper.make_node(operator, [source], [between], name=between, **attributes))
        source = between
    nodes.append(helper.make_node("Cast", [source], [output.name], name=f"give_{output.name}", to=element))
    return nodes


def _type_of(output: SourceOutput, recipe: Recipe) -> int:
    if output.name == "classes":
        return int(TensorProto.UINT8 if recipe.task == "segmentation" else TensorProto.INT64)
    return int(TensorProto.FLOAT)


def _value(graph: onnx.GraphProto, output: SourceOutput, recipe: Recipe) -> onnx.ValueInfoProto:
    """Its sizes are left to shape inference, but for the batch and what the file says."""
    size: list[int | str] = ["batch"]
    if recipe.task == "segmentation":
        size += [recipe.input.height, recipe.input.width]
    else:
        given = next(each for each in graph.output if each.name == _PREFIX + output.source).type.tensor_type.shape.dim
        size += [d.dim_value if d.HasField("dim_value") else f"{output.name}_{i}" for i, d in enumerate(given[1:], 1)]
    return helper.make_tensor_value_info(output.name, _type_of(output, recipe), size)
