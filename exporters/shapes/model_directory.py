"""The trained network's directory: recipe, labels, and a folder of pictures for each class."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from exporters.shapes.scenes import SHAPES, SIDE, scenes
from services.shared.imaging.base import Pixels

MEAN, STD = 0.5, 0.25  # of every channel, of pixels scaled to 0..1

_EXPORT_TOML = f"""\
# A ResNet-18 trained on rendered shapes by `make train-resnet`: `grayscale export shapes --models DIR`.
[model]
task = "classification"
labels = "labels.txt"

[network]
factory = "resnet18"
checkpoint = "checkpoint.safetensors"

[input]
height = {SIDE}
width = {SIDE}
channels = 3
mean = [{MEAN}, {MEAN}, {MEAN}]
std = [{STD}, {STD}, {STD}]

[data]
calibration = "calibration"
evaluation = "evaluation"

[variants]
build = ["fp32", "int8"]

[gates]
min_top1_agreement = 0.97
max_accuracy_drop = 0.01
"""


def picture_set(count: int, seed: int) -> tuple[Pixels, np.ndarray]:
    """Pictures and classes that training with another seed never saw."""
    return scenes(count, np.random.default_rng(seed))


def write_model_directory(
    directory: Path, *, evaluation: tuple[Pixels, np.ndarray], calibration: tuple[Pixels, np.ndarray]
) -> None:
    """Everything but the checkpoint; pictures of an earlier run are replaced."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "export.toml").write_text(_EXPORT_TOML)
    (directory / "labels.txt").write_text("".join(f"{shape}\n" for shape in SHAPES))
    _write_folders(directory / "evaluation", *evaluation)
    _write_folders(directory / "calibration", *calibration)


def _write_folders(folder: Path, pixels: Pixels, labels: np.ndarray) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    for shape in SHAPES:
        (folder / shape).mkdir(parents=True)
    for index, (picture, label) in enumerate(zip(pixels, labels, strict=True)):
        Image.fromarray(picture).save(folder / SHAPES[label] / f"{index:05}.png")
