"""What `models/NAME/export.toml` says: how a checkpoint becomes models that may serve. Values only; `recipe_file.py`
reads them from the file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Task = Literal["classification", "detection", "segmentation", "embedding"]
VariantName = Literal["fp32", "int8", "int8_dynamic", "fp16", "int8_trt", "trt_fp32", "trt_fp16", "trt_int8"]

DEFAULT_MAX_BATCH_SIZE = 32


@dataclass(frozen=True, slots=True)
class NetworkRecipe:
    """Where the network comes from: a `factory` (`lenet5`, `resnet50`, …, or `file.py:function`) with `arguments` and a
    `checkpoint` (path, `s3://…` or `https://…` with `sha256`), or an existing ONNX file as `source`."""

    factory: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    checkpoint: str = ""
    sha256: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True)
class InputRecipe:
    """The picture that the network sees; `mean` and `std` per channel, of pixels scaled to 0..1. `parameters` are the
    preprocessing words of the served config (`fit`, `resize`, `crop`, `interpolation`, `color`, `polarity`)."""

    height: int
    width: int
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DataRecipe:
    """Labelled pictures: a folder per class, a CSV of `path,label`, or `digits:train` or `digits:held-out` (scans that
    ship in scikit-learn). Empty means none; at most `calibration_images` are used to calibrate."""

    calibration: str = ""
    evaluation: str = ""
    calibration_images: int = 512


@dataclass(frozen=True, slots=True)
class Gates:
    """What a variant must keep against the PyTorch original on the same inputs, or it is not published.

    `max_abs` is on fp32's outputs only; agreement and accuracy are of every variant (shares, 0..1).
    """

    max_abs: float = 1e-4
    min_top1_agreement: float = 0.99
    max_accuracy_drop: float = 0.01
    min_cosine: float = 0.99


@dataclass(frozen=True, slots=True)
class ProfileRecipe:
    """What is measured, and the constraint under which the best variant is named (0 means none)."""

    batch_sizes: tuple[int, ...] = (1, 8, 32)
    seconds: float = 1.0
    max_latency_ms: float = 0.0
    min_accuracy: float = 0.0


@dataclass(frozen=True, slots=True)
class Recipe:
    """One model's recipe; relative paths are from `directory`, the model's own."""

    name: str
    task: Task
    labels: tuple[str, ...]
    network: NetworkRecipe
    input: InputRecipe
    directory: Path
    data: DataRecipe = DataRecipe()
    variants: tuple[VariantName, ...] = ("fp32",)
    gates: Gates = Gates()
    profile: ProfileRecipe = ProfileRecipe()
    max_batch_size: int = DEFAULT_MAX_BATCH_SIZE
    text: str = ""  # the file itself, kept as provenance
