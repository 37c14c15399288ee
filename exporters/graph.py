"""The graph that is served: uint8 pictures in, the task's outputs out; normalisation and what follows are inside."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from exporters.base import ExportFailed, GraphInfo
from exporters.recipe import Recipe, Task
from exporters.servable_file import finish
from exporters.task_outputs import INPUT, OUTPUTS

_MAX_CLASSES = 256  # a class map is uint8
# torch.export does not complain of these: it writes the example's batch into the graph.
_HOW_TO_WRITE = "write the network without int(x.shape[0]), len(x) or x.item(), which fix the batch at the example's"


class Servable(nn.Module):
    """[n, height, width, channels] uint8 to the task's outputs, as `task_outputs` lists them.

    `mean` and `std` are per channel, of pixels scaled to 0..1. The cast comes before the transpose because TensorRT
    refuses to transpose uint8; `contiguous` keeps the exporter from writing the permutation as a gather. Normalising
    comes after both: ONNX Runtime multiplies by a channel's number along the last dimension one element at a time,
    which took half of a small model's run.
    """

    task: Task
    scale: Tensor
    shift: Tensor

    def __init__(self, network: nn.Module, *, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.network = network
        means, deviations = torch.tensor(mean), torch.tensor(std)
        self.register_buffer("scale", (1 / (255 * deviations)).reshape(-1, 1, 1), persistent=False)
        self.register_buffer("shift", (-means / deviations).reshape(-1, 1, 1), persistent=False)

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of what `forward` gives, in its order."""
        return OUTPUTS[self.task]

    def raw(self, image: Tensor) -> Any:
        """What the network itself gives."""
        pixels = image.to(torch.float32).permute(0, 3, 1, 2).contiguous()
        return self.network(pixels * self.scale + self.shift)


class ServableClassifier(Servable):
    """The network gives logits [n, classes]."""

    task = "classification"

    def forward(self, image: Tensor) -> Tensor:
        return torch.softmax(self.raw(image), dim=1)


class ServableEmbedder(Servable):
    """The network gives embeddings [n, d] of any length."""

    task = "embedding"

    def forward(self, image: Tensor) -> Tensor:
        return functional.normalize(self.raw(image), dim=1)


class ServableSegmenter(Servable):
    """The network gives logits [n, classes, height, width]; one map alone means the second of two classes."""

    task = "segmentation"

    def forward(self, image: Tensor) -> Tensor:
        logits: Tensor = self.raw(image)
        best = logits[:, 0] > 0 if logits.shape[1] == 1 else logits.argmax(dim=1)
        return best.to(torch.uint8)


class ServableDetector(Servable):
    """The network gives boxes and scores, and classes where it sorts overlapping boxes out itself: a tuple in this
    order, or a mapping with these names."""

    task = "detection"
    nms_inside = True

    @property
    def outputs(self) -> tuple[str, ...]:
        return OUTPUTS[self.task] if self.nms_inside else OUTPUTS[self.task][:2]

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        found = self.raw(image)
        parts = [found[name] for name in self.outputs] if isinstance(found, Mapping) else list(found)
        boxes, scores, *classes = parts
        return (boxes.to(torch.float32), scores.to(torch.float32), *(each.to(torch.int64) for each in classes))


SERVABLES: Mapping[Task, type[Servable]] = {
    each.task: each for each in (ServableClassifier, ServableEmbedder, ServableSegmenter, ServableDetector)
}


def servable(network: nn.Module, recipe: Recipe) -> Servable:
    """The network as the recipe's task serves it, in eval mode; it is run once. Raises ExportFailed."""
    made = SERVABLES[recipe.task](network, mean=recipe.input.mean, std=recipe.input.std).eval()
    picture = torch.zeros((1, recipe.input.height, recipe.input.width, recipe.input.channels), dtype=torch.uint8)
    try:
        with torch.inference_mode():
            raw = made.raw(picture)
    except Exception as error:
        raise ExportFailed(
            f"{recipe.network.factory} does not take a picture of {recipe.input.height}x{recipe.input.width} with "
            f"{recipe.input.channels} channels: {_first_line(error)}"
        ) from error
    if wrong := _raw_complaint(recipe, raw):
        raise ExportFailed(f"{recipe.network.factory} {wrong}")
    if isinstance(made, ServableDetector):
        made.nms_inside = len(raw) == len(OUTPUTS["detection"])
    return made


def write_servable(model: Servable, recipe: Recipe, path: Path) -> GraphInfo:
    """Writes, checks and tries the ONNX file of a recipe's network; raises ExportFailed."""
    shape = (recipe.input.height, recipe.input.width, recipe.input.channels)
    try:
        export_onnx(model, shape, path, max_batch_size=recipe.max_batch_size)
    except Exception as error:  # whatever the network's own code and the exporter's passes raise
        raise ExportFailed(
            f"{recipe.network.factory} cannot be written as ONNX with a dynamic batch: {_reason(error)}"
        ) from error
    return finish(path, recipe, hint=_HOW_TO_WRITE)


def export_onnx(model: Servable, shape: tuple[int, int, int], path: Path, *, max_batch_size: int) -> None:
    """Writes one ONNX file with a dynamic batch of 1 to `max_batch_size`; `shape` is height, width, channels."""
    example = torch.zeros((2, *shape), dtype=torch.uint8)
    # The example's batch of 2 must be within; 1 as the only size would be a fixed batch.
    batch = torch.export.Dim("batch", min=1, max=max(2, max_batch_size))
    # One line for each operator of a package that is not installed, and not needed.
    logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns of its own deprecated parts
        torch.onnx.export(
            model.eval(),
            (example,),
            path,
            dynamo=True,
            input_names=[INPUT],
            output_names=list(model.outputs),
            dynamic_shapes=({0: batch},),
            external_data=False,
            optimize=True,
            verbose=False,
        )


def _raw_complaint(recipe: Recipe, raw: Any) -> str:
    """Why this is not what the task's network gives for one picture; empty when it is."""
    labels = len(recipe.labels)
    if recipe.task == "detection":
        parts = len(raw) if isinstance(raw, tuple | list | Mapping) else 0
        named = not isinstance(raw, Mapping) or set(raw) == set(OUTPUTS["detection"][:parts])
        return "" if parts in (2, 3) and named else "must give boxes and scores, or boxes, scores and classes"
    if not isinstance(raw, Tensor):
        return f"gives {type(raw).__name__}, but {recipe.task} needs one tensor"
    wanted = 4 if recipe.task == "segmentation" else 2
    if raw.ndim != wanted:
        return f"gives {list(raw.shape)} for one picture, but {recipe.task} needs {wanted} dimensions"
    classes = 2 if recipe.task == "segmentation" and raw.shape[1] == 1 else raw.shape[1]
    if recipe.task != "embedding" and classes != labels:
        return f"gives {classes} classes, but there are {labels} labels"
    return f"gives {classes} classes, more than {_MAX_CLASSES}" if wanted == 4 and classes > _MAX_CLASSES else ""


def _reason(error: BaseException) -> str:
    """The exporter's own error says only which of its steps failed; the cause is the network's."""
    return _reason(error.__cause__) if error.__cause__ else _first_line(error)


def _first_line(error: BaseException) -> str:
    lines = [line for line in str(error).strip().splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
