"""`python -m exporters.shapes.train`: trains a ResNet-18 on rendered shapes and writes a model directory."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import Progress
from torch import Tensor, nn

from exporters.networks.resnet import ResNet, resnet18
from exporters.shapes.model_directory import MEAN, STD, is_made_by, write_model_directory
from exporters.shapes.scenes import SHAPES, scenes
from services.shared.imaging.base import Pixels

OUT = Path(".cache/shapes")
_TRAIN, _EVALUATION, _CALIBRATION = range(3)  # each draws its pictures from its own stream of the seed

Labels = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True, slots=True)
class Training:
    """What decides the weights and the pictures beside them. `width` is the channels of the network's first stage;
    the order of additions, and so the weights, depend on `threads` too.

    A run that falls below `least_accuracy` on the evaluation pictures has failed.
    """

    seed: int = 0
    shapes: tuple[str, ...] = SHAPES
    pictures: int = 12000
    epochs: int = 12
    batch: int = 32
    width: int = 16
    peak_learning_rate: float = 8e-3
    threads: int = 2
    evaluation_per_class: int = 40
    calibration_per_class: int = 32
    least_accuracy: float = 0.95


DEFAULT = Training()
TINY = Training(
    shapes=("bar", "ring", "star"),
    pictures=1400,
    epochs=14,
    width=8,
    peak_learning_rate=1e-2,
    threads=1,  # on busy cores a second thread is waited for at every layer: it made a step four times as slow
    evaluation_per_class=100,  # 300 in all: one is a third of a point
    least_accuracy=0.8,
)


def pictures_of(training: Training, stream: int, count: int) -> tuple[Pixels, Labels]:
    """Pictures [count, 32, 32, 3] and classes [count]; the same at every call, and others in every stream."""
    return scenes(count, np.random.default_rng((training.seed, stream)), training.shapes)


def as_input(pixels: Pixels) -> Tensor:
    """[n, 32, 32, 3] uint8 to [n, 3, 32, 32], normalised."""
    scaled = torch.from_numpy(pixels).permute(0, 3, 1, 2).to(torch.float32) / 255
    return ((scaled - MEAN) / STD).contiguous()


def train(training: Training, *, tell: Callable[[float], None] = lambda loss: None) -> ResNet:
    """A trained network in eval mode; the same settings give the same weights. `tell` hears the loss of every batch."""
    torch.set_num_threads(training.threads)
    torch.manual_seed(training.seed)
    pixels, classes = pictures_of(training, _TRAIN, training.pictures)
    pictures, labels = as_input(pixels), torch.from_numpy(classes)
    network = resnet18(classes=len(training.shapes), width=training.width, pool=False)
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, training.peak_learning_rate, total_steps=training.epochs * batches_per_epoch(training)
    )
    criterion = nn.CrossEntropyLoss(label_smoothing=0.05)
    for _ in range(training.epochs):
        for chosen in torch.randperm(len(pictures)).tensor_split(batches_per_epoch(training)):
            loss = criterion(network(varied(pictures[chosen])), labels[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            tell(loss.item())
    return network.eval()


def batches_per_epoch(training: Training) -> int:
    return -(-training.pictures // training.batch)


def varied(pictures: Tensor) -> Tensor:
    """[n, 3, side, side] turned, mirrored and with colours exchanged, all of a batch alike: no class depends on it."""
    turns, mirrored = int(torch.randint(4, ())), bool(torch.randint(2, ()))
    turned = torch.rot90(pictures, turns, dims=(2, 3))[:, torch.randperm(3)]
    return (turned.flip(3) if mirrored else turned).contiguous()


def accuracy_of(network: nn.Module, pixels: Pixels, labels: Labels) -> float:
    """The share of pictures whose class the network names."""
    with torch.inference_mode():
        answers = torch.cat([network(part) for part in torch.split(as_input(pixels), 64)]).argmax(dim=1).numpy()
    return float((answers == labels).mean())


def make(training: Training, out: Path, console: Console) -> float:
    """Trains, writes the model's directory and gives the accuracy on its evaluation pictures."""
    begin = time.monotonic()
    with Progress(console=console) as progress:
        task = progress.add_task("training", total=training.epochs * batches_per_epoch(training))

        def tell(loss: float) -> None:
            progress.update(task, advance=1, description=f"training (loss {loss:.3f})")

        network = train(training, tell=tell)
    evaluation, labels = pictures_of(training, _EVALUATION, training.evaluation_per_class * len(training.shapes))
    calibration = pictures_of(training, _CALIBRATION, training.calibration_per_class * len(training.shapes))
    accuracy = accuracy_of(network, evaluation, labels)
    write_model_directory(out, network, training, evaluation=(evaluation, labels), calibration=calibration)
    console.print(f"trained on {training.pictures} pictures in {time.monotonic() - begin:.0f} s, seed {training.seed}")
    console.print(f"held-out accuracy: {100 * accuracy:.2f} % of {len(labels)} pictures")
    return accuracy


def main(arguments: list[str]) -> int:
    """0 when the model is as accurate as its settings ask or lies there already, else 1."""
    parser = argparse.ArgumentParser(description="Train a ResNet-18 on pictures of shapes that are rendered here.")
    parser.add_argument("--out", type=Path, default=OUT, help="the model's directory")
    parser.add_argument("--seed", type=int, default=DEFAULT.seed)
    parser.add_argument("--tiny", action="store_true", help="three classes and few pictures: seconds, not minutes")
    parser.add_argument("--again", action="store_true", help="train even where the same settings made a model before")
    options = parser.parse_args(arguments)
    training = replace(TINY if options.tiny else DEFAULT, seed=options.seed)
    console = Console()
    if not options.again and is_made_by(options.out, training):
        console.print(f"{options.out} holds the model of these settings already: --again trains it anew")
        return 0
    return 0 if make(training, options.out, console) >= training.least_accuracy else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
