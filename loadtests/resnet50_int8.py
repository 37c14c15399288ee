"""fp32 against int8 of ResNet-50 on this machine: `python -m loadtests.resnet50_int8`.

Exports a ResNet-50 (seeded weights, or `--checkpoint` with torchvision's own file) through `grayscale export`, with
rendered pictures to calibrate with, and prints `grayscale profile` of both, measured by turns in one run. With seeded
weights the answers mean nothing, so the gates are open; the speed is the same.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = 1000
RECIPE = """
[model]
name = "resnet50"
task = "classification"
labels = "labels.txt"
max_batch_size = 32
[network]
factory = "resnet50"
checkpoint = "{checkpoint}"
[input]
height = 224
width = 224
channels = 3
mean = [0.485, 0.456, 0.406]
std = [0.229, 0.224, 0.225]
fit = "cover"
resize = 256
[data]
calibration = "pictures.csv"
calibration_images = 32
evaluation = "pictures.csv"
[variants]
build = ["fp32", "int8"]
[gates]
max_abs = 1e-4
min_top1_agreement = 0.0
max_accuracy_drop = 1.0
min_cosine = 0.0
[profile]
batch_sizes = [1]
seconds = 0.5
"""


def write_model(directory: Path, checkpoint: Path | None) -> None:
    """A model directory with a recipe, a checkpoint and rendered pictures."""
    import torch

    from exporters.networks.resnet import resnet50

    directory.mkdir(parents=True)
    if checkpoint is None:
        torch.manual_seed(0)
        torch.save(resnet50(classes=CLASSES).state_dict(), directory / "checkpoint.pt")
    else:
        shutil.copyfile(checkpoint, directory / "checkpoint.pt")
    (directory / "export.toml").write_text(RECIPE.format(checkpoint="checkpoint.pt"))
    (directory / "labels.txt").write_text("".join(f"class {index}\n" for index in range(CLASSES)))
    random = np.random.default_rng(0)
    lines = ["path,label"]
    for index in range(32):
        coarse = random.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        picture = Image.fromarray(coarse).resize((320, 240), Image.Resampling.BICUBIC)
        picture.save(directory / f"{index}.png")
        lines.append(f"{index}.png,{index}")
    (directory / "pictures.csv").write_text("\n".join(lines) + "\n")


def main() -> int:
    parser = argparse.ArgumentParser(description="fp32 against int8 of ResNet-50 on this machine.")
    parser.add_argument("--checkpoint", type=Path, help="torchvision's state dict; without it, seeded weights")
    parser.add_argument("--seconds", type=float, default=5.0, help="for each batch size and thread count")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        models = Path(directory) / "models"
        write_model(models / "resnet50", options.checkpoint)
        command = [sys.executable, "-m", "services.cli"]
        subprocess.run([*command, "export", "resnet50", "--models", str(models), "--data-dir", directory], check=True)
        measured = ["profile", "resnet50", "resnet50_int8", "--models", str(models), "--seconds", str(options.seconds)]
        return subprocess.run([*command, *measured, "--batch", "1", "--batch", "8"], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
