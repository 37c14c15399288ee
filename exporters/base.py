"""What the steps of an export hand to each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from exporters.recipe import Recipe, VariantName
from services.shared.imaging.base import DecodedImage
from services.shared.tensors import TensorSpec

Array = np.ndarray[Any, np.dtype[Any]]
Tell = Callable[[str, int, int], None]  # what is being done, how much is done, of how much


class ExportFailed(Exception):
    """Nothing was published; the message is one sentence that says what to change."""


class LabelledImages(Protocol):
    """Labelled pictures as the server would see them: every picture went through the serving Preprocessor."""

    labels: Array  # [n] class indices; -1 where the picture has no class

    def __len__(self) -> int: ...

    def batches(self, size: int) -> Iterator[tuple[Array, Array]]:
        """Tensors [b, height, width, channels] uint8 with their labels [b], in a fixed order."""
        ...


@runtime_checkable
class DecodedPictures(Protocol):
    """Pictures with what is known of them beside their tensors; labelled images of real files have it."""

    def decoded(self, size: int, limit: int) -> Iterator[list[DecodedImage]]:
        """At most `limit` pictures, spread evenly over all, `size` at a time."""
        ...


class Reference(Protocol):
    """The original: what every variant is compared with."""

    def run(self, images: Array) -> Mapping[str, Array]:
        """[b, height, width, channels] uint8 to the outputs that the served model gives, by name."""
        ...


@dataclass(frozen=True, slots=True)
class GraphInfo:
    """An ONNX file as it was written. `producer` is what wrote it with its version; specs are without the batch."""

    opset: int
    ir_version: int
    producer: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


class Original(Protocol):
    """A network with its weights, or an ONNX file, that a recipe names; `sha256` is of the checkpoint or that file."""

    @property
    def sha256(self) -> str: ...

    @property
    def reference(self) -> Reference: ...

    def export(self, path: Path, tell: Tell) -> GraphInfo:
        """Writes the fp32 graph that may be served: one input `image`, uint8 [batch, height, width, channels], and the
        task's outputs; the batch is dynamic, which was tried. Raises ExportFailed."""
        ...


@dataclass(frozen=True, slots=True)
class BuiltVariant:
    """A variant's file in a staging directory; `notes` say what was tried and chosen (calibration, layers kept in
    float …). `precision` is what the served config says. `backend` is `onnxruntime` or `tensorrt`. The files `beside`
    are published in the version's directory under their own names."""

    name: VariantName
    path: Path
    precision: str
    backend: str = "onnxruntime"
    notes: Mapping[str, Any] = field(default_factory=dict)
    beside: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class VariantInputs:
    """What a variant is built from: the fp32 ONNX file, pictures to calibrate and to judge with, where to stage."""

    recipe: Recipe
    fp32: Path
    calibration: LabelledImages | None
    evaluation: LabelledImages | None
    reference: Reference
    staging: Path


class VariantBuilder(Protocol):
    """Builds one kind of variant; raises ExportFailed with the reason where that cannot be done (here)."""

    name: VariantName

    def build(self, inputs: VariantInputs, tell: Tell) -> BuiltVariant: ...


@dataclass(frozen=True, slots=True)
class Parity:
    """A variant's outputs against the reference's on the same inputs: of the first output, over all elements.
    `top1_agreement` is None for tasks without classes. `errors` counts elements by the decade of their absolute error
    (`proof.parity.ERROR_EDGES`); empty where nobody counted."""

    images: int
    max_abs: float
    max_relative: float
    cosine: float
    top1_agreement: float | None
    errors: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Accuracy:
    """On labelled pictures; per class in the order of the labels; `confusion[true][predicted]`; `calibration_error` is
    the expected calibration error over 15 bins (Guo et al. 2017)."""

    images: int
    accuracy: float
    precision: tuple[float, ...]
    recall: tuple[float, ...]
    f1: tuple[float, ...]
    confusion: tuple[tuple[int, ...], ...]
    calibration_error: float


@dataclass(frozen=True, slots=True)
class Timing:
    """One batch size and thread count: milliseconds per run, images per second, what the
    model adds to the resident bytes of its process."""

    batch: int
    threads: int
    runs: int
    mean_ms: float
    std_ms: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    images_per_s: float
    resident_bytes: int


@dataclass(frozen=True, slots=True)
class VariantResult:
    """Everything that is known of a variant; `failures` empty means that it may be published."""

    variant: BuiltVariant
    parity: Parity
    accuracy: Accuracy | None
    reference_accuracy: Accuracy | None
    failures: Sequence[str] = ()
    timings: Sequence[Timing] = ()
