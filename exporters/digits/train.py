"""`python -m exporters.digits.train`: trains LeNet-5 on the scans and writes the checkpoint and the ONNX model."""

from __future__ import annotations

import argparse
import copy
import hashlib
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import Progress
from safetensors.torch import save_file
from torch import Tensor, nn

from exporters.digits.augment import augment
from exporters.digits.evaluate import held_out_accuracy
from exporters.digits.model import DIGITS_DIR, MEAN, STD, image_settings, write_onnx
from exporters.digits.scans import Scans, load_scans
from exporters.networks.lenet import LeNet5
from services.shared.imaging.fit import fit

THREADS = 2  # a fixed number: the order of additions, and so the weights, depend on it
_AVERAGE_FROM = 0.8  # of the epochs: the weights of the last fifth are averaged (Izmailov et al. 2018)


@dataclass(frozen=True, slots=True)
class Training:
    """What decides the weights, beside the data."""

    seed: int = 0
    epochs: int = 50
    batch: int = 64
    peak_learning_rate: float = 4e-3
    label_smoothing: float = 0.05


_DEFAULT = Training()


def epoch_of(scans: Scans, random: np.random.Generator) -> Tensor:
    """Every scan once, augmented, as the server's own preprocessing gives it: [n, 1, 28, 28], normalised."""
    settings = image_settings()
    pictures = [
        fit(augment(pixels, int(label), random), settings)
        for pixels, label in zip(scans.pixels, scans.labels, strict=True)
    ]
    pixels = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).to(torch.float32)
    return (pixels / 255 - MEAN) / STD


def train(scans: Scans, training: Training, *, tell: Callable[[float], None] = lambda loss: None) -> LeNet5:
    """A trained network in eval mode; the same seed gives the same weights to the bit. `tell` hears each epoch's loss.

    The weights are the average over the last epochs: less a matter of luck than the last one's.
    """
    torch.set_num_threads(THREADS)
    torch.manual_seed(training.seed)
    random = np.random.default_rng(training.seed)
    network = LeNet5()
    averaged: list[dict[str, Tensor]] = []
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=1e-2)
    batches = -(-len(scans) // training.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, training.peak_learning_rate, total_steps=training.epochs * batches
    )
    criterion = nn.CrossEntropyLoss(label_smoothing=training.label_smoothing)
    labels = torch.from_numpy(scans.labels)
    for epoch in range(training.epochs):
        pictures = epoch_of(scans, random)
        network.train()
        losses = []
        for chosen in torch.randperm(len(scans)).tensor_split(batches):
            loss = criterion(network(pictures[chosen]), labels[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
        tell(float(np.mean(losses)))
        if epoch >= training.epochs * _AVERAGE_FROM:
            averaged.append(copy.deepcopy(network.state_dict()))
    if averaged:
        network.load_state_dict({key: torch.stack([s[key] for s in averaged]).mean(dim=0) for key in averaged[0]})
    return network.eval()


def write_model(network: LeNet5, directory: Path) -> None:
    """`checkpoint.safetensors`, `1/model.onnx` and its checksum, in a model's directory."""
    (directory / "1").mkdir(parents=True, exist_ok=True)
    checkpoint = directory / "checkpoint.safetensors"
    save_file(network.state_dict(), checkpoint)
    checkpoint.chmod(0o644)  # safetensors makes private files
    onnx = directory / "1" / "model.onnx"
    write_onnx(network, onnx)
    digest = hashlib.sha256(onnx.read_bytes()).hexdigest()
    onnx.with_name("model.onnx.sha256").write_text(f"{digest}  model.onnx\n")


def main(arguments: list[str]) -> int:
    """0 when the new model is at least 99 % accurate on the held-out scans at either polarity, else 1."""
    parser = argparse.ArgumentParser(description="Train the sample model on scans of handwritten digits.")
    parser.add_argument("--seed", type=int, default=_DEFAULT.seed)
    parser.add_argument("--epochs", type=int, default=_DEFAULT.epochs)
    parser.add_argument("--out", type=Path, default=DIGITS_DIR, help="the model's directory")
    options = parser.parse_args(arguments)
    console = Console()
    scans, held_out = load_scans()
    begin = time.monotonic()
    with Progress(console=console) as progress:
        task = progress.add_task("training", total=options.epochs)

        def tell(loss: float) -> None:
            progress.update(task, advance=1, description=f"training (loss {loss:.3f})")

        network = train(scans, Training(seed=options.seed, epochs=options.epochs), tell=tell)
    write_model(network, options.out)
    console.print(f"trained on {len(scans)} scans in {time.monotonic() - begin:.0f} s, seed {options.seed}")
    accuracies = held_out_accuracy(options.out, held_out)
    for polarity, accuracy in accuracies.items():
        console.print(f"held-out accuracy, {polarity}: {100 * accuracy:.2f} % of {len(held_out)} scans")
    return 0 if min(accuracies.values()) >= 0.99 else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
