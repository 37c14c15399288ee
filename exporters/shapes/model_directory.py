"""The directory of a model of shapes: weights, labels, pictures and the recipe that `grayscale export` follows."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from exporters.shapes.scenes import SIDE
from services.shared.imaging.base import Pixels

if TYPE_CHECKING:
    from exporters.shapes.train import Training

MEAN, STD = 0.45, 0.25  # about those of the pictures, scaled to 0..1; alike for all colours
CHECKPOINT = "checkpoint.safetensors"
SETTINGS = "training.json"  # written last: a directory that has it is whole

Labelled = tuple[Pixels, np.ndarray[Any, np.dtype[np.int64]]]

_RECIPE = """\
# How this model becomes one that may serve: `grayscale export`. Everything here was made by `make train-resnet`.
[model]
task = "classification"
labels = "labels.txt"
max_batch_size = 32

[network]
factory = "resnet18"
arguments = {{ width = {width}, pool = false }}
checkpoint = "{checkpoint}"

[input]
height = {side}
width = {side}
channels = 3
mean = [{mean}, {mean}, {mean}]
std = [{std}, {std}, {std}]

[data]
calibration = "calibration"
evaluation = "evaluation"

[variants]
build = ["fp32", "int8"]

[gates]
min_top1_agreement = 0.97 # of pictures near a border between classes, rounding decides some
max_accuracy_drop = 0.01

[profile]
batch_sizes = [1, 8, 32]
seconds = 0.3
"""


def is_made_by(directory: Path, training: Training) -> bool:
    """Whether these very settings made a whole model there."""
    try:
        found = json.loads((directory / SETTINGS).read_text())
    except (OSError, ValueError):
        return False
    return bool(found == _settings(training)) and (directory / CHECKPOINT).is_file()


def write_model_directory(
    directory: Path, network: nn.Module, training: Training, *, evaluation: Labelled, calibration: Labelled
) -> None:
    """Everything that an export reads; pictures of an earlier run are replaced, other files are left alone."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / SETTINGS).unlink(missing_ok=True)
    checkpoint = directory / CHECKPOINT
    save_file(network.state_dict(), checkpoint)
    checkpoint.chmod(0o644)  # safetensors makes private files
    (directory / "labels.txt").write_text("".join(f"{shape}\n" for shape in training.shapes))
    for name, labelled in (("evaluation", evaluation), ("calibration", calibration)):
        _write_pictures(directory / name, labelled, training.shapes)
    recipe = _RECIPE.format(width=training.width, side=SIDE, mean=MEAN, std=STD, checkpoint=CHECKPOINT)
    (directory / "export.toml").write_text(recipe)
    (directory / SETTINGS).write_text(json.dumps(_settings(training), indent=2) + "\n")


def _write_pictures(folder: Path, labelled: Labelled, shapes: tuple[str, ...]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    for shape in shapes:
        (folder / shape).mkdir(parents=True)
    for number, (pixels, label) in enumerate(zip(*labelled, strict=True)):
        Image.fromarray(pixels).save(folder / shapes[label] / f"{number:04}.png")


def _settings(training: Training) -> dict[str, Any]:
    """As JSON gives them back, which has lists and no tuples."""
    settings: dict[str, Any] = json.loads(json.dumps(asdict(training)))
    return settings
