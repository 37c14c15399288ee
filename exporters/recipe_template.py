"""The text of a new `export.toml`. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass

from exporters.recipe import DEFAULT_MAX_BATCH_SIZE, DataRecipe, Gates, ProfileRecipe, Task, VariantName

# Of ImageNet's training pixels, which most published checkpoints were trained with.
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True, slots=True)
class Answers:
    """What `grayscale export init` asks; the defaults are what it offers."""

    task: Task = "classification"
    factory: str = "resnet50"
    checkpoint: str = "checkpoint.safetensors"
    labels: str = "labels.txt"
    height: int = 224
    width: int = 224
    channels: int = 3
    fit: str = "cover"
    calibration: str = ""
    evaluation: str = ""
    variants: tuple[VariantName, ...] = ("fp32",)


def recipe_text(name: str, answers: Answers) -> str:
    """The file, with every default shown and what its keys may be."""
    gates, profile = Gates(), ProfileRecipe()
    mean = list(IMAGENET_MEAN) if answers.channels == 3 else [0.5]
    std = list(IMAGENET_STD) if answers.channels == 3 else [0.5]
    labels = [f"labels = {_quoted(answers.labels)} # one label a line"] if answers.task != "embedding" else []
    is_onnx = answers.factory.endswith(".onnx")
    network = (
        [f"source = {_quoted(answers.factory)}"]
        if is_onnx
        else [
            f"factory = {_quoted(answers.factory)} # a network of ours, or file.py:function",
            f"checkpoint = {_quoted(answers.checkpoint)} # a path, s3://… or https://… with sha256",
        ]
    )
    lines = [
        f"# How {name} becomes a model that may serve: `grayscale export {name}`.",
        "[model]",
        f"name = {_quoted(name)}",
        f"task = {_quoted(answers.task)}",
        *labels,
        f"max_batch_size = {DEFAULT_MAX_BATCH_SIZE}",
        "\n[network]",
        *network,
        "\n[input]",
        f"height = {answers.height}\nwidth = {answers.width}\nchannels = {answers.channels}",
        "# Per channel, of pixels scaled to 0..1: what the network was trained with.",
        f"mean = {mean}\nstd = {std}",
        f"fit = {_quoted(answers.fit)}",
        "\n[data] # a folder per class, a CSV of path,label, digits:train or digits:held-out",
        f"calibration = {_quoted(answers.calibration)}",
        f"evaluation = {_quoted(answers.evaluation)}",
        f"calibration_images = {DataRecipe().calibration_images}",
        f"\n[variants]\nbuild = {json.dumps(answers.variants)}",
        "\n[gates] # what a variant must keep, or it is not published",
        f"max_abs = {gates.max_abs:f}".rstrip("0") + " # of fp32's outputs",
        f"min_top1_agreement = {gates.min_top1_agreement}",
        f"max_accuracy_drop = {gates.max_accuracy_drop}",
        f"min_cosine = {gates.min_cosine}",
        "\n[profile] # what is measured; 0 means no constraint",
        f"batch_sizes = {list(profile.batch_sizes)}\nseconds = {profile.seconds}",
        f"max_latency_ms = {profile.max_latency_ms}\nmin_accuracy = {profile.min_accuracy}",
    ]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)  # a JSON string is a TOML basic string
