"""An existing ONNX file as the original: the reference runs it as it is, in float, on pictures normalised by NumPy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import helper

from exporters.base import Array, ExportFailed, GraphInfo, Reference, Tell
from exporters.onnx_plan import Dims, SourceInput, SourceOutput, plan_input, plan_outputs
from exporters.onnx_surgery import surround
from exporters.recipe import Recipe
from exporters.servable_file import HOW_TO_EXPORT, finish
from exporters.source_file import sha256_of

_LEAST_OPSET, _OPSET = 13, 18  # what is added needs the former; older files are converted to the latter
_ERRORS_ONLY = 3
_TINY = 1e-12  # no embedding is divided by less


class OnnxReference:
    """The file itself, with the steps around it in NumPy."""

    def __init__(self, path: Path, source: SourceInput, recipe: Recipe) -> None:
        self._session, self._source, self._recipe = _session(path), source, recipe
        self.outputs: Sequence[SourceOutput] = ()

    def raw(self, images: Array) -> dict[str, Array]:
        """Every output of the file, under the file's names."""
        names = [each.name for each in self._session.get_outputs()]
        return dict(zip(names, self._session.run(names, {self._source.name: self._taken(images)}), strict=True))

    def run(self, images: Array) -> Mapping[str, Array]:
        found = self.raw(images)
        return {each.name: _stepped(found[each.source], each, self._recipe) for each in self.outputs}

    def _taken(self, images: Array) -> Array:
        if self._source.layout == "pixels":
            return images
        mean, std = (np.array(each, np.float32) for each in (self._recipe.input.mean, self._recipe.input.std))
        pixels = (images.astype(np.float32) / np.float32(255) - mean) / std
        if self._source.layout == "nchw":
            pixels = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))
        return pixels.astype(self._source.dtype)


class OnnxOriginal:
    """The file, and what is put around it to serve."""

    def __init__(
        self, model: onnx.ModelProto, source: SourceInput, reference: OnnxReference, recipe: Recipe, sha256: str
    ) -> None:
        self._model, self._source, self._outputs, self._recipe = model, source, reference.outputs, recipe
        self.reference: Reference = reference
        self.sha256 = sha256

    def export(self, path: Path, tell: Tell) -> GraphInfo:
        tell("writing the graph", 0, 1)
        made = surround(_new_enough(self._model, self._recipe), self._source, self._outputs, self._recipe)
        path.write_bytes(made.SerializeToString())
        info = finish(path, self._recipe, hint=HOW_TO_EXPORT)
        tell("writing the graph", 1, 1)
        return info


def load_onnx_source(path: Path, recipe: Recipe) -> OnnxOriginal:
    """Reads the file and runs it once; raises ExportFailed naming it and what keeps it from serving."""
    model = _read(path)
    try:
        source = plan_input(_inputs(model), recipe.input)
        reference = OnnxReference(path, source, recipe)
        reference.outputs = plan_outputs(recipe, _tried(reference, recipe))
    except ExportFailed as error:
        raise ExportFailed(f"{path.name} {error}") from error
    return OnnxOriginal(model, source, reference, recipe, sha256_of(path))


def _read(path: Path) -> onnx.ModelProto:
    try:
        model = onnx.load(path)
        onnx.checker.check_model(model)
    except Exception as error:  # protobuf's, the checker's and, for weights beside the file, the file system's
        raise ExportFailed(
            f"{path.name} is not a whole ONNX file: it is cut short, damaged, another file, or its weights are not "
            f"beside it ({_first_line(error)})"
        ) from error
    return model


def _inputs(model: onnx.ModelProto) -> dict[str, tuple[np.dtype[Any], Dims]]:
    weights = {each.name for each in model.graph.initializer}  # older files list these among the inputs
    return {
        each.name: (
            helper.tensor_dtype_to_np_dtype(each.type.tensor_type.elem_type),
            [d.dim_value if d.HasField("dim_value") else None for d in each.type.tensor_type.shape.dim],
        )
        for each in model.graph.input
        if each.name not in weights
    }


def _session(path: Path) -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # it would take cores from others
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime's exceptions have no common base but this
        raise ExportFailed(f"does not load in ONNX Runtime: {_first_line(error)}") from error


def _tried(reference: OnnxReference, recipe: Recipe) -> dict[str, Array]:
    size = (2, recipe.input.height, recipe.input.width, recipe.input.channels)
    try:
        found = reference.raw(np.zeros(size, np.uint8))
    except Exception as error:  # as in _session
        raise ExportFailed(f"does not run a batch of 2 ({_first_line(error)}): {HOW_TO_EXPORT}") from error
    fixed = [name for name, array in found.items() if array.ndim == 0 or len(array) != size[0]]
    if len(fixed) == len(found):
        raise ExportFailed(f"gives {list(found[fixed[0]].shape)} as {fixed[0]} for 2 pictures: {HOW_TO_EXPORT}")
    return {name: array for name, array in found.items() if name not in fixed}


def _new_enough(model: onnx.ModelProto, recipe: Recipe) -> onnx.ModelProto:
    opset = next((each.version for each in model.opset_import if each.domain in ("", "ai.onnx")), _OPSET)
    if opset >= _LEAST_OPSET:
        return model
    try:
        return onnx.version_converter.convert_version(model, _OPSET)
    except Exception as error:  # the converter's exceptions have no common base but this
        raise ExportFailed(
            f"{recipe.network.source} is of opset {opset} and cannot be converted ({_first_line(error)}): "
            f"export it again with opset {_OPSET} or later"
        ) from error


def _stepped(found: Array, output: SourceOutput, recipe: Recipe) -> Array:
    match output.step:
        case "softmax":
            powers = np.exp(found.astype(np.float32) - found.max(axis=1, keepdims=True))
            return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float32)
        case "unit":
            lengths = np.linalg.norm(found.astype(np.float32), axis=1, keepdims=True)
            return np.asarray(found / np.maximum(lengths, _TINY), np.float32)
        case "argmax":
            return np.asarray(found.argmax(axis=1), np.uint8)
        case "as_is":
            if output.name != "classes":
                return found.astype(np.float32)
            return found.astype(np.uint8 if recipe.task == "segmentation" else np.int64)


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
