"""An export in miniature: a linear classifier on 2x2 pictures instead of a network, everything else as it is."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from exporters.base import Array, BuiltVariant, ExportFailed, GraphInfo, Original, Tell, VariantInputs, VariantResult
from exporters.parts import backends
from exporters.pipeline import Parts
from exporters.recipe import (
    DataRecipe,
    InputRecipe,
    NetworkRecipe,
    ProfileRecipe,
    Recipe,
    VariantName,
)
from services.shared.clock import SystemClock
from services.shared.repository.disk import DiskRepository

WEIGHTS = np.array([[1, -1], [1, -1], [-1, 1], [-1, 1]], dtype=np.float32) / 64


def recipe(directory: Path, *variants: VariantName) -> Recipe:
    """Two classes: brighter above, brighter below."""
    return Recipe(
        name="flowers",
        task="classification",
        labels=("above", "below"),
        network=NetworkRecipe("linear", {}, "weights"),
        input=InputRecipe(2, 2, 1, (0.0,), (1.0,), {"fit": "stretch"}),
        directory=directory,
        data=DataRecipe(evaluation="pictures"),
        variants=("fp32", *variants),
        profile=ProfileRecipe(batch_sizes=(1, 4), seconds=0.01),
        max_batch_size=8,
        text="# the recipe\n",
    )


def write_linear(path: Path, weights: Array = WEIGHTS, *, batch: int | str = "batch", dtype: str = "FLOAT") -> None:
    """The classifier as ONNX; `dtype` is of its output."""
    kind = getattr(TensorProto, dtype)
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["pixels"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["floats"], axis=1),
        helper.make_node("Cast", ["floats"], ["probabilities"], to=kind),
    ]
    graph = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, [batch, 2, 2, 1])],
        [helper.make_tensor_value_info("probabilities", kind, [batch, weights.shape[1]])],
        [numpy_helper.from_array(weights.astype(np.float32), "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])
    model.ir_version = 10
    path.write_bytes(model.SerializeToString())


class LinearOriginal:
    """`write` writes the fp32 file; by default the same classifier."""

    sha256 = "c0ffee"

    def __init__(self, write: Callable[[Path], None] = write_linear) -> None:
        self._write, self.reference, self.runs = write, self, 0

    def run(self, images: Array) -> Mapping[str, Array]:
        self.runs += 1
        logits = images.reshape(len(images), 4).astype(np.float32) @ WEIGHTS
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        return {"probabilities": powers / powers.sum(axis=1, keepdims=True)}

    def export(self, path: Path, tell: Tell) -> GraphInfo:
        self._write(path)
        return GraphInfo(20, 10, "test 1", (), ())


class LinearVariant:
    """A builder whose file is what `write` makes; None: it cannot be built here."""

    def __init__(self, name: VariantName, write: Callable[[Path], None] | None = write_linear) -> None:
        self.name, self._write = name, write

    def build(self, inputs: VariantInputs, tell: Tell) -> BuiltVariant:
        if self._write is None:
            raise ExportFailed(f"{self.name} needs a GPU, and there is none")
        path = inputs.staging / f"{self.name}.onnx"
        self._write(path)
        return BuiltVariant(self.name, path, self.name, notes={"tried": 1})


class Pictures:
    """64 pictures of noise with the right classes, and one without a class. None lies between the classes."""

    def __init__(self) -> None:
        noise = np.random.default_rng(1).integers(0, 256, size=(200, 2, 2, 1), dtype=np.uint8)
        is_clear = np.abs(noise.reshape(200, 4) @ WEIGHTS[:, 0]) > 0.1
        self._pixels = noise[is_clear][:65]
        self.labels: Array = LinearOriginal().run(self._pixels)["probabilities"].argmax(axis=1)
        self.labels[-1] = -1

    def __len__(self) -> int:
        return len(self.labels)

    def batches(self, size: int) -> Iterator[tuple[Array, Array]]:
        for start in range(0, len(self), size):
            yield self._pixels[start : start + size], self.labels[start : start + size]


@dataclass(slots=True)
class Reports:
    """What reports were written: results and best variant."""

    written: list[tuple[Sequence[VariantResult], VariantName | None]] = field(default_factory=list)

    def write(
        self, directory: Path, recipe: Recipe, results: Sequence[VariantResult], best: VariantName | None
    ) -> None:
        self.written.append((results, best))
        (directory / "report.json").write_text(json.dumps({"best": best}))
        (directory / "report.html").write_text("<p>report</p>")


def parts(*variants: LinearVariant, original: LinearOriginal | None = None, reports: Reports | None = None) -> Parts:
    loaded: Original = original or LinearOriginal()
    return Parts(
        load_original=lambda recipe, tell: loaded,
        labelled_images=lambda text, recipe, limit: Pictures(),
        builders={each.name: each for each in variants},
        write_report=(reports or Reports()).write,
        backends=backends(),
        open_repository=DiskRepository,
        clock=SystemClock(),
        cores=1,
    )
