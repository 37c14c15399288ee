"""Whether a heatmap is right: models that look at one place only, and what hiding and showing by heat does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from services.shared.explanation.base import Floats
from services.shared.explanation.hidden import blurred
from services.shared.imaging.base import Pixels

STEPS = 14  # parts of the picture that are hidden or shown one after the other
Score = Callable[[Pixels], Floats]  # [n, height, width, channels] to [n]

PATCH_CONFIG = """
platform: "onnxruntime_onnx"
max_batch_size: 16
input [ {{ name: "image" data_type: TYPE_UINT8 dims: [ {side}, {side}, 1 ] }} ]
output [ {{ name: "scores" data_type: TYPE_FP32 dims: [ 2 ] label_filename: "labels.txt" }} ]
dynamic_batching {{ }}
parameters {{ key: "fit" value {{ string_value: "{fit}" }} }}
parameters {{ key: "color" value {{ string_value: "grey" }} }}
"""


def write_patch_model(
    repository: Path, name: str, patch: tuple[int, int, int, int], side: int = 32, *, fit: str = "stretch"
) -> None:
    """A classifier, `bright` or `dark`, that looks at the pixels top:bottom, left:right of its input, and no other."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    top, bottom, left, right = patch
    weight = np.zeros((side * side, 2), np.float32)
    looked = np.zeros((side, side), bool)
    looked[top:bottom, left:right] = True
    weight[looked.ravel(), 0] = 8 / (255 * looked.sum())
    weight[:, 1] = -weight[:, 0]
    nodes = [
        helper.make_node("Cast", ["image"], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["numbers"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weight"], ["sums"]),
        helper.make_node("Add", ["sums", "bias"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["scores"], axis=1),
    ]
    bias = numpy_helper.from_array(np.array([-4, 4], np.float32), "bias")
    graph = helper.make_graph(
        nodes,
        "patch",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", side, side, 1])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", 2])],
        [numpy_helper.from_array(weight, "weight"), bias],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])
    model.ir_version = 10
    onnx.checker.check_model(model)
    directory = repository / name
    (directory / "1").mkdir(parents=True)
    onnx.save(model, directory / "1" / "model.onnx")
    (directory / "config.pbtxt").write_text(PATCH_CONFIG.format(side=side, fit=fit))
    (directory / "labels.txt").write_text("bright\ndark\n")


def share_within(heat: np.ndarray[Any, Any], rows: slice, columns: slice) -> float:
    """Of all that is above 0, the part that lies there."""
    positive = np.maximum(heat, 0).astype(np.float64)
    return float(positive[rows, columns].sum() / positive.sum())


def deletion_and_insertion(score: Score, tensor: Pixels, heat: np.ndarray[Any, Any]) -> tuple[float, float]:
    """The mean score while the picture is made black, the hottest pixels first, and while it is shown in that order
    where it was blurred (Petsiuk et al., section 4.3): a better heatmap has a smaller first and a larger second number.
    """
    order = np.argsort(-heat.ravel(), kind="stable")
    rank = np.empty(order.size, np.int64)
    rank[order] = np.arange(order.size)
    thresholds = np.linspace(0, order.size, STEPS + 1)[:, None]
    hot = (rank[None] < thresholds).reshape(-1, *heat.shape)[..., None]
    beneath = np.rint(blurred(tensor)).astype(np.uint8)
    deleted, inserted = np.where(hot, np.uint8(0), tensor), np.where(hot, tensor, beneath)
    return float(score(deleted).mean()), float(score(inserted).mean())
