"""The last steps of every written graph: checked, its shapes inferred, its batch tried."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import helper

from exporters.base import Array, ExportFailed, GraphInfo, Reference
from exporters.proof.onnx_runner import OnnxRunner
from exporters.recipe import Recipe
from exporters.task_outputs import complaint
from services.shared.tensors import TensorSpec, datatype_of

_BATCH = 3
_TOLERANCE = 1e-3  # between a picture alone and in a batch: other kernels, other rounding
HOW_TO_EXPORT = (
    "export it again with a dynamic batch: dynamic_shapes=({0: torch.export.Dim('batch')},) of torch.onnx.export, or "
    "dynamic_axes={'input': {0: 'batch'}} with dynamo=False"
)


def finish(path: Path, recipe: Recipe, *, hint: str) -> GraphInfo:
    """Checks the ONNX file, writes the inferred shapes into it and tries batches of 1 and 3; raises ExportFailed, with
    the `hint` where the batch is not dynamic."""
    model = onnx.load(path)
    try:
        onnx.checker.check_model(model, full_check=True)
        inferred = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    except Exception as error:  # the checker's and the inference's exceptions have no common base but this
        raise ExportFailed(f"{recipe.name}: the written graph is not valid ONNX: {_first_line(error)}") from error
    path.write_bytes(inferred.SerializeToString())
    check_dynamic(OnnxRunner(path), recipe, hint=hint)
    return graph_info(inferred)


def check_dynamic(runner: Reference, recipe: Recipe, *, hint: str) -> None:
    """Runs a batch of 3 and each of its pictures alone: the shapes are the task's, and rows do not touch each other."""
    size = (_BATCH, recipe.input.height, recipe.input.width, recipe.input.channels)
    pictures = np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8)
    try:
        alone = [runner.run(pictures[i : i + 1]) for i in range(_BATCH)]
        together = runner.run(pictures)
    except ExportFailed as error:
        raise ExportFailed(
            f"{recipe.name}: the graph does not run batches of 1 and {_BATCH} ({_first_line(error)}): {hint}"
        ) from error
    for outputs, batch in ((alone[0], 1), (together, _BATCH)):
        if wrong := complaint(recipe, outputs, batch):
            raise ExportFailed(f"{recipe.name}: {wrong}")
    for name, rows in together.items():
        # Where scores tie, the order of boxes is free; a mixed-up batch shows in the scores.
        if recipe.task == "detection" and name != "scores":
            continue
        if not all(_close(rows[i : i + 1], alone[i][name]) for i in range(_BATCH)):
            raise ExportFailed(
                f"{recipe.name}: a picture's {name} changes with its neighbours in the batch: "
                "the network must treat each picture on its own (is it in eval mode?)"
            )


def graph_info(model: onnx.ModelProto) -> GraphInfo:
    opset = next(each.version for each in model.opset_import if each.domain in ("", "ai.onnx"))
    return GraphInfo(
        opset=opset,
        ir_version=model.ir_version,
        producer=f"{model.producer_name} {model.producer_version}".strip() or "unknown",
        inputs=tuple(map(_spec, model.graph.input)),
        outputs=tuple(map(_spec, model.graph.output)),
    )


def _spec(value: onnx.ValueInfoProto) -> TensorSpec:
    tensor = value.type.tensor_type
    dims = [each.dim_value if each.HasField("dim_value") else -1 for each in tensor.shape.dim]
    dtype = helper.tensor_dtype_to_np_dtype(tensor.elem_type)
    return TensorSpec(value.name, datatype_of(np.empty(0, dtype)), tuple(dims[1:]))


def _close(row: Array, alone: Array) -> bool:
    if row.shape != alone.shape:
        return False
    if np.issubdtype(row.dtype, np.floating):
        return bool(np.allclose(row, alone, rtol=_TOLERANCE, atol=_TOLERANCE))
    return float((row == alone).mean()) > 0.99  # a pixel between two classes may fall either way


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
