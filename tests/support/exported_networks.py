"""Recipes, seeded networks and ONNX files to export from, made for tests."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from exporters.base import Array
from exporters.recipe import InputRecipe, NetworkRecipe, Recipe, Task

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def recipe_of(
    directory: Path,
    factory: str = "",
    *,
    task: Task = "classification",
    labels: int = 10,
    side: int = 32,
    channels: int = 3,
    arguments: Mapping[str, Any] | None = None,
    checkpoint: str = "checkpoint.safetensors",
    source: str = "",
    sha256: str = "",
) -> Recipe:
    return Recipe(
        name="sample",
        task=task,
        labels=tuple(f"label {i}" for i in range(labels)),
        network=NetworkRecipe(factory, arguments or {}, "" if source else checkpoint, sha256, source),
        input=InputRecipe(side, side, channels, MEAN[:channels], STD[:channels]),
        directory=directory,
        max_batch_size=8,
    )


def pictures(count: int, recipe: Recipe, *, seed: int = 1) -> Array:
    """Coarse patterns of different brightness: unlike noise, they are told apart by any network."""
    random = np.random.default_rng(seed)
    height, width, channels = recipe.input.height, recipe.input.width, recipe.input.channels
    coarse = random.integers(0, 256, (count, 4, 4, channels), dtype=np.uint8)
    rows, columns = (np.arange(length) * 4 // length for length in (height, width))
    return np.ascontiguousarray(coarse[:, rows][:, :, columns])


def seeded(network: nn.Module, recipe: Recipe, *, seed: int = 0) -> nn.Module:
    """Random weights, running statistics that are those of pictures, and a last layer whose outputs have mean 0 and
    deviation 1: they stay in a network's usual range and differ from picture to picture."""
    torch.manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear | nn.ConvTranspose2d):
            nn.init.kaiming_normal_(module.weight)
        elif isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # the plain average of what it sees
            nn.init.uniform_(module.weight, 0.3, 0.8)
            nn.init.uniform_(module.bias, -0.2, 0.2)
    seen = torch.from_numpy(pictures(32, recipe, seed=2)).permute(0, 3, 1, 2).float() / 64 - 2
    with torch.no_grad():
        network.train()(seen)
        out = network.eval()(seen).transpose(0, 1).flatten(1)
        last = [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear)][-1]
        assert last.bias is not None
        last.bias.copy_((last.bias - out.mean(dim=1)) / out.std())
        last.weight.div_(out.std())
    return network.eval()


def classifier_onnx(
    path: Path,
    *,
    classes: int = 10,
    side: int = 8,
    batch: int | str = "batch",
    layout: str = "nchw",
    uint8: bool = False,
    opset: int = 18,
    reshape_to: int | None = None,
    name: str = "input",
) -> Path:
    """Logits of a linear layer over all pixels; `reshape_to` fixes the batch inside and not in the input's shape."""
    shape = [batch, 3, side, side] if layout == "nchw" else [batch, side, side, 3]
    weight = np.random.default_rng(3).normal(0, 0.05, (3 * side * side, classes)).astype(np.float32)
    flat = [helper.make_node("Flatten", ["pixels"], ["flat"], axis=1)]
    weights = [numpy_helper.from_array(weight, "weight")]
    if reshape_to is not None:
        weights.append(numpy_helper.from_array(np.array([reshape_to, 3 * side * side], np.int64), "fixed"))
        flat = [helper.make_node("Reshape", ["pixels", "fixed"], ["flat"])]
    nodes = [
        helper.make_node("Cast", [name], ["pixels"], to=TensorProto.FLOAT),
        *flat,
        helper.make_node("MatMul", ["flat", "weight"], ["logits"]),
    ]
    return write_graph(
        path,
        nodes,
        {name: (TensorProto.UINT8 if uint8 else TensorProto.FLOAT, shape)},
        {"logits": (TensorProto.FLOAT, [batch, classes])},
        weights,
        opset=opset,
    )


def write_graph(
    path: Path,
    nodes: list[onnx.NodeProto],
    inputs: Mapping[str, tuple[int, list[Any]]],
    outputs: Mapping[str, tuple[int, list[Any]]],
    weights: list[onnx.TensorProto] | None = None,
    *,
    opset: int = 18,
) -> Path:
    graph = helper.make_graph(
        nodes,
        "sample",
        [helper.make_tensor_value_info(name, *each) for name, each in inputs.items()],
        [helper.make_tensor_value_info(name, *each) for name, each in outputs.items()],
        weights or [],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], producer_name="by hand")
    model.ir_version = 10
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return path
