"""`python -m exporters.shapes.train`: trains a ResNet-18 on rendered shapes and writes a model that can be exported.

`--tiny` takes under a minute, for tests; without it, a few minutes on two cores give more than 95 %.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import Progress
from safetensors.torch import save_file
from torch import Tensor, nn

from exporters.networks.resnet import ResNet, resnet18
from exporters.shapes import scenes as rendering
from exporters.shapes.model_directory import MEAN, STD, picture_set, write_model_directory
from exporters.shapes.scenes import SHAPES, scenes
from services.shared.imaging.base import Pixels

OUT = Path(".cache/models/shapes")
THREADS = 2  # a fixed number: the order of additions, and so the weights, depend on it
_CHECKPOINT, _MADE_FROM = "checkpoint.safetensors", "trained-from.sha256"


@dataclass(frozen=True, slots=True)
class Training:
    """What decides the weights; every picture is rendered anew, so none is seen twice."""

    pictures: int = 60_000
    batch: int = 64
    peak_learning_rate: float = 2e-3
    label_smoothing: float = 0.05
    seed: int = 0
    evaluation_pictures: int = 1_000
    calibration_pictures: int = 300
    least_accuracy: float = 0.95


FULL = Training()
TINY = Training(pictures=5_760, evaluation_pictures=400, calibration_pictures=100, least_accuracy=0.5)


def normalised(pixels: Pixels) -> Tensor:
    """[n, 3, height, width], as the exported graph normalises."""
    return (torch.from_numpy(pixels).permute(0, 3, 1, 2).to(torch.float32) / 255 - MEAN) / STD


def train(training: Training, *, tell: Callable[[int, float], None] = lambda pictures, loss: None) -> ResNet:
    """A trained network in eval mode; the same settings give the same weights to the bit."""
    torch.set_num_threads(THREADS)
    torch.manual_seed(training.seed)
    random = np.random.default_rng(training.seed)
    network = resnet18(classes=len(SHAPES)).train()
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=1e-2)
    steps = -(-training.pictures // training.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, training.peak_learning_rate, total_steps=steps)
    criterion = nn.CrossEntropyLoss(label_smoothing=training.label_smoothing)
    for _ in range(steps):
        pixels, labels = scenes(training.batch, random)
        loss = criterion(network(normalised(pixels)), torch.from_numpy(labels))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        tell(training.batch, loss.item())
    return network.eval()


def accuracy(network: nn.Module, pixels: Pixels, labels: np.ndarray) -> float:
    with torch.no_grad():
        best = [network(normalised(part)).argmax(dim=1).numpy() for part in np.array_split(pixels, -(-len(pixels) // 64))]
    return float((np.concatenate(best) == labels).mean())


def fingerprint(training: Training) -> str:
    """Of everything that the weights and the pictures come from: a change of either trains anew."""
    sources = [Path(rendering.__file__).read_bytes(), repr(sorted(asdict(training).items())).encode()]
    return hashlib.sha256(b"\0".join(sources)).hexdigest()


def is_cached(directory: Path, training: Training) -> bool:
    made_from = directory / _MADE_FROM
    return made_from.exists() and made_from.read_text().strip() == fingerprint(training)


def make_model(
    directory: Path, training: Training, *, tell: Callable[[int, float], None] = lambda pictures, loss: None
) -> float:
    """Trains and writes the model's directory, the fingerprint last; the accuracy on the evaluation pictures."""
    network = train(training, tell=tell)
    evaluation = picture_set(training.evaluation_pictures, training.seed + 1)
    write_model_directory(
        directory, evaluation=evaluation, calibration=picture_set(training.calibration_pictures, training.seed + 2)
    )
    checkpoint = directory / _CHECKPOINT
    save_file(network.state_dict(), checkpoint)
    checkpoint.chmod(0o644)  # safetensors makes private files
    (directory / _MADE_FROM).write_text(fingerprint(training) + "\n")
    return accuracy(network, *evaluation)


def main(arguments: list[str]) -> int:
    """0 when the model is as accurate as its training promises, or was already made from the same settings; else 1."""
    parser = argparse.ArgumentParser(description="Train a ResNet-18 on shapes that are rendered on the way.")
    parser.add_argument("--out", type=Path, default=OUT, help=f"the model's directory (default {OUT})")
    parser.add_argument("--tiny", action="store_true", help="under a minute, and less accurate")
    parser.add_argument("--again", action="store_true", help="train even where nothing changed")
    options = parser.parse_args(arguments)
    training = TINY if options.tiny else FULL
    console = Console()
    if is_cached(options.out, training) and not options.again:
        console.print(f"{options.out} is up to date; train anew with --again")
        return 0
    begin = time.monotonic()
    with Progress(console=console) as progress:
        task = progress.add_task("training", total=training.pictures)

        def tell(pictures: int, loss: float) -> None:
            progress.update(task, advance=pictures, description=f"training (loss {loss:.2f})")

        share = make_model(options.out, training, tell=tell)
    console.print(f"trained on {training.pictures} pictures in {time.monotonic() - begin:.0f} s")
    console.print(f"accuracy: {100 * share:.1f} % of {training.evaluation_pictures} pictures never trained on")
    console.print(f"next: grayscale export {options.out.name} --models {options.out.parent}")
    return 0 if share >= training.least_accuracy else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
