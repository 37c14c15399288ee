"""What has to be done to an existing ONNX file before it may serve; decided here, done in `onnx_surgery.py`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from exporters.base import Array, ExportFailed
from exporters.recipe import InputRecipe, Recipe
from exporters.servable_file import HOW_TO_EXPORT
from exporters.task_outputs import OUTPUTS

Layout = Literal["pixels", "nchw", "nhwc"]  # pixels: uint8 [n, h, w, c], normalised by the file itself
Step = Literal["as_is", "softmax", "unit", "argmax"]
Dims = Sequence[int | None]  # None: of any size

_ARGUMENTS = ("softmax", "outputs")
_ALIASES = {"labels": "classes"}  # as torchvision's detectors name them
_MAX_CLASSES = 256  # a class map is uint8


@dataclass(frozen=True, slots=True)
class SourceInput:
    """The file's only input; `dtype` is uint8, float32 or float16."""

    name: str
    layout: Layout
    dtype: np.dtype[Any]


@dataclass(frozen=True, slots=True)
class SourceOutput:
    """The file's output `source` becomes the task's `name` by a step."""

    name: str
    source: str
    step: Step


def plan_input(inputs: Mapping[str, tuple[np.dtype[Any], Dims]], wanted: InputRecipe) -> SourceInput:
    """Raises ExportFailed unless there is one picture input, of the recipe's size, with a dynamic batch."""
    if len(inputs) != 1:
        raise ExportFailed(f"has {len(inputs)} inputs ({', '.join(inputs)}), where one picture is wanted")
    ((name, (dtype, dims)),) = inputs.items()
    kind = f"input {name} is {dtype} {_shown(dims)}"
    if len(dims) != 4:
        raise ExportFailed(f"{kind}, where [n, c, h, w] or [n, h, w, c] is wanted")
    if dims[0] is not None:
        raise ExportFailed(f"fixes the batch at {dims[0]}: {HOW_TO_EXPORT}")
    size = (wanted.height, wanted.width)
    planar, interleaved = (wanted.channels, *size), (*size, wanted.channels)
    if dtype == np.uint8:
        if _fits(dims[1:], interleaved):
            return SourceInput(name, "pixels", dtype)
        raise ExportFailed(f"{kind}: as uint8 it must be [n, {', '.join(map(str, interleaved))}], else float")
    if dtype not in (np.float32, np.float16):
        raise ExportFailed(f"{kind}: uint8, float32 or float16 is wanted")
    if _fits(dims[1:], planar):
        return SourceInput(name, "nchw", dtype)
    if _fits(dims[1:], interleaved):
        return SourceInput(name, "nhwc", dtype)
    raise ExportFailed(f"{kind}, but the recipe's picture is {wanted.height}x{wanted.width}x{wanted.channels}")


def plan_outputs(recipe: Recipe, found: Mapping[str, Array]) -> tuple[SourceOutput, ...]:
    """From what the file gave for some pictures; raises ExportFailed where it is not clear which output is which.

    The recipe's `arguments` decide: `outputs = { probabilities = "495" }` names them, `softmax = true` says that a
    classifier gives logits.
    """
    said = _arguments(recipe)
    names = said.get("outputs", {})
    unknown = [name for name in names.values() if name not in found]
    if unknown:
        raise ExportFailed(f"has no output {unknown[0]!r}, only {_list(found)}")
    match recipe.task:
        case "classification":
            source = _single(recipe, found, names, lambda a: a.ndim == 2 and a.shape[1] == len(recipe.labels))
            return (SourceOutput("probabilities", source, "softmax" if said.get("softmax") else "as_is"),)
        case "embedding":
            return (SourceOutput("embedding", _single(recipe, found, names, lambda a: a.ndim == 2), "unit"),)
        case "segmentation":
            source = _single(recipe, found, names, lambda a: _is_class_map(a, len(recipe.labels)))
            return (SourceOutput("classes", source, "argmax" if found[source].ndim == 4 else "as_is"),)
        case "detection":
            return _detection(recipe, found, names)


def _arguments(recipe: Recipe) -> Mapping[str, Any]:
    said = recipe.network.arguments
    unknown = [key for key in said if key not in _ARGUMENTS]
    if unknown:
        raise ExportFailed(f"takes no argument {unknown[0]!r}: an ONNX source has {' and '.join(_ARGUMENTS)}")
    outputs = said.get("outputs", {})
    task = OUTPUTS[recipe.task]
    if not isinstance(outputs, Mapping) or not all(name in task for name in outputs):
        raise ExportFailed(f'needs `outputs` to name the file\'s {", ".join(task)}, such as {{ {task[0]} = "output" }}')
    if not isinstance(said.get("softmax", False), bool) or (said.get("softmax") and recipe.task != "classification"):
        raise ExportFailed("takes `softmax` as true or false, and of a classification only")
    return said


def _single(recipe: Recipe, found: Mapping[str, Array], names: Mapping[str, str], fits: Any) -> str:
    name = OUTPUTS[recipe.task][0]
    if name in names:
        return names[name]
    fitting = [source for source, array in found.items() if fits(array)]
    if name in fitting:
        return name
    if len(fitting) == 1:
        return fitting[0]
    raise ExportFailed(
        f"has {len(fitting) or 'no'} outputs that could be {name} for {len(recipe.labels)} labels among "
        f'{_list(found)}: say which, with `arguments = {{ outputs = {{ {name} = "…" }} }}`'
    )


def _detection(recipe: Recipe, found: Mapping[str, Array], names: Mapping[str, str]) -> tuple[SourceOutput, ...]:
    known = {_ALIASES.get(name, name): name for name in found if _ALIASES.get(name, name) in OUTPUTS["detection"]}
    chosen = {**(known if {"boxes", "scores"} <= known.keys() else _by_shape(recipe, found)), **names}
    if not {"boxes", "scores"} <= chosen.keys():
        raise ExportFailed(
            f"needs the outputs boxes [n, k, 4] and scores [n, k, labels], or boxes, scores and classes [n, k]; it has "
            f'{_list(found)}: say which, with `arguments = {{ outputs = {{ boxes = "…", scores = "…" }} }}`'
        )
    return tuple(SourceOutput(name, chosen[name], "as_is") for name in OUTPUTS["detection"] if name in chosen)


def _by_shape(recipe: Recipe, found: Mapping[str, Array]) -> dict[str, str]:
    """The outputs that can be told by their shapes and types alone."""
    floats = {name: a for name, a in found.items() if np.issubdtype(a.dtype, np.floating)}
    boxes = [name for name, a in floats.items() if a.ndim == 3 and a.shape[2] == 4]
    rows = [name for name, a in floats.items() if a.ndim == 2]
    tables = [name for name, a in floats.items() if a.ndim == 3 and a.shape[2] == len(recipe.labels) != 4]
    classes = [name for name, a in found.items() if a.ndim == 2 and np.issubdtype(a.dtype, np.integer)]
    if len(boxes) == len(rows) == len(classes) == 1 and not tables:
        return {"boxes": boxes[0], "scores": rows[0], "classes": classes[0]}
    if len(boxes) == len(tables) == 1 and not rows and not classes:
        return {"boxes": boxes[0], "scores": tables[0]}
    return {}


def _is_class_map(array: Array, labels: int) -> bool:
    if array.ndim == 4:
        return bool(array.shape[1] == labels <= _MAX_CLASSES)
    return array.ndim == 3 and bool(np.issubdtype(array.dtype, np.integer))


def _fits(dims: Dims, wanted: Sequence[int]) -> bool:
    return all(d in (None, w) for d, w in zip(dims, wanted, strict=True))


def _shown(dims: Dims) -> str:
    return f"[{', '.join('?' if d is None else str(d) for d in dims)}]"


def _list(found: Mapping[str, Array]) -> str:
    return ", ".join(f"{name} {a.dtype} [n{''.join(f', {d}' for d in a.shape[1:])}]" for name, a in found.items())
