"""Every network from seeded weights to ONNX Runtime, and the names that other people's checkpoints need."""

from __future__ import annotations

import asyncio
import dataclasses
import io
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from exporters.base import Array
from exporters.graph import write_servable
from exporters.networks.registry import NETWORKS, build_network
from exporters.networks.siamese import SiameseNetwork
from exporters.networks.unet import UNet
from exporters.original import TorchOriginal, load_original
from exporters.proof.onnx_runner import OnnxRunner
from exporters.recipe import Recipe, Task
from services.shared.answer import ImageAnswer
from tests.support.exported_networks import pictures, recipe_of, seeded
from tests.support.served_export import answers, publish

ROWS: list[tuple[str, Task, int, int, int, dict[str, Any], str]] = [
    ("lenet5", "classification", 10, 28, 1, {}, ".safetensors"),
    ("convnet", "classification", 10, 32, 3, {}, ".pt"),
    ("resnet18", "classification", 5, 64, 3, {}, ".safetensors"),
    ("resnet34", "classification", 10, 64, 3, {}, ".pt"),
    ("resnet50", "classification", 1000, 64, 3, {}, ".pt"),
    ("resnet101", "classification", 10, 64, 1, {}, ".safetensors"),
    ("unet", "segmentation", 4, 50, 3, {"width": 4}, ".safetensors"),
    ("unet", "segmentation", 2, 32, 1, {"width": 4, "bilinear": True, "classes": 1}, ".pt"),
    ("siamese", "embedding", 0, 32, 1, {"dimensions": 16}, ".safetensors"),
]


def quiet(what: str, done: int, total: int) -> None:
    pass


def save(weights: Mapping[str, torch.Tensor], path: Path) -> None:
    if path.suffix == ".safetensors":
        save_file(dict(weights), path)
    else:
        torch.save(dict(weights), path)


def network_output(network: nn.Module, recipe: Recipe, images: Array) -> torch.Tensor:
    """Normalised by NumPy, run by PyTorch."""
    pixels = (images / 255 - np.array(recipe.input.mean)) / np.array(recipe.input.std)
    with torch.inference_mode():
        out: torch.Tensor = network(torch.from_numpy(pixels.transpose(0, 3, 1, 2)).float())
    return out


def served(task: Task, raw: torch.Tensor) -> Array:
    """What the task makes of the network's output, in NumPy."""
    values = raw.numpy().astype(np.float64)
    if task == "classification":
        powers = np.exp(values - values.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True))
    if task == "embedding":
        return np.asarray(values / np.linalg.norm(values, axis=1, keepdims=True))
    return np.asarray(values[:, 0] > 0 if values.shape[1] == 1 else values.argmax(axis=1))


def test_the_rows_below_are_all_networks() -> None:
    assert {row[0] for row in ROWS} == set(NETWORKS)


@pytest.mark.parametrize(("factory", "task", "labels", "side", "channels", "arguments", "suffix"), ROWS)
def test_a_checkpoint_becomes_a_graph_that_answers_as_pytorch_does(
    factory: str,
    task: Task,
    labels: int,
    side: int,
    channels: int,
    arguments: dict[str, Any],
    suffix: str,
    tmp_path: Path,
) -> None:
    recipe = recipe_of(
        tmp_path,
        factory,
        task=task,
        labels=labels,
        side=side,
        channels=channels,
        arguments=arguments,
        checkpoint=f"weights{suffix}",
    )
    network = seeded(build_network(recipe), recipe)
    save(network.state_dict(), tmp_path / f"weights{suffix}")
    images = pictures(3, recipe)
    expected = served(task, network_output(network, recipe, images))
    assert np.ptp(expected.astype(float), axis=0).max() > 0.005, "pictures that give one answer prove nothing"

    original = load_original(recipe)
    info = original.export(tmp_path / "model.onnx", quiet)
    (name,) = original.reference.run(images)
    for run in (original.reference.run, OnnxRunner(tmp_path / "model.onnx").run):
        got = run(images)[name]
        if task == "segmentation":
            assert got.dtype == np.uint8
            assert (got == expected).mean() > 0.999
        else:
            assert np.abs(got - expected).max() <= 1e-4
    assert info.opset >= 18
    assert info.producer.startswith("pytorch 2.")
    assert [(spec.name, spec.datatype, spec.shape) for spec in info.inputs] == [
        ("image", "UINT8", (side, side, channels))
    ]
    assert [(spec.name, spec.shape) for spec in info.outputs] == [(name, expected.shape[1:])]
    publish(tmp_path / "model.onnx", info, recipe, tmp_path / "models")
    check_served(asyncio.run(answers(tmp_path / "models", recipe.name, images)), task, expected)


def check_served(results: tuple[ImageAnswer, ...], task: Task, expected: Array) -> None:
    """What a client is told, against the task's own numbers."""
    assert len(results) == len(expected)
    for result, row in zip(results, expected, strict=True):
        if task == "classification":
            assert result.predictions[0].index == int(row.argmax())
            assert result.predictions[0].score == pytest.approx(float(row.max()), abs=1e-4)
        elif task == "embedding":
            assert result.embedding is not None
            assert result.embedding.values == pytest.approx(row.tolist(), abs=1e-4)
        else:
            assert result.segmentation is not None
            mask = np.asarray(Image.open(io.BytesIO(result.segmentation.mask_png)))
            assert (mask == row).mean() > 0.99


def resnet_names(depths: tuple[int, ...], convolutions: int) -> set[str]:
    """torchvision's names, by the rule of its file resnet.py."""

    def norm(place: str) -> set[str]:
        return {f"{place}.{word}" for word in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")}

    names = {"conv1.weight", "fc.weight", "fc.bias"} | norm("bn1")
    for layer, depth in enumerate(depths, start=1):
        for block in range(depth):
            for i in range(1, convolutions + 1):
                names |= {f"layer{layer}.{block}.conv{i}.weight"} | norm(f"layer{layer}.{block}.bn{i}")
        if layer > 1 or convolutions == 3:
            names |= {f"layer{layer}.0.downsample.0.weight"} | norm(f"layer{layer}.0.downsample.1")
    return names


@pytest.mark.parametrize(
    ("factory", "depths", "convolutions", "keys", "weights"),
    [
        ("resnet18", (2, 2, 2, 2), 2, 122, 11_689_512),
        ("resnet34", (3, 4, 6, 3), 2, 218, 21_797_672),
        ("resnet50", (3, 4, 6, 3), 3, 320, 25_557_032),
        ("resnet101", (3, 4, 23, 3), 3, 626, 44_549_160),
    ],
)
def test_the_state_dicts_are_torchvisions(
    factory: str, depths: tuple[int, ...], convolutions: int, keys: int, weights: int
) -> None:
    """The counts of weights are those that torchvision's documentation gives for 1000 classes."""
    with torch.device("meta"):
        network = NETWORKS[factory]()
    names = set(network.state_dict())
    assert names == resnet_names(depths, convolutions)
    assert len(names) == keys
    assert sum(each.numel() for each in network.parameters()) == weights


def test_the_stride_of_a_bottleneck_is_in_its_middle_convolution() -> None:
    with torch.device("meta"):
        network = NETWORKS["resnet50"]()
    strides = {name: m.stride for name, m in network.named_modules() if isinstance(m, nn.Conv2d)}
    assert strides["layer2.0.conv1"] == (1, 1)
    assert strides["layer2.0.conv2"] == (2, 2)
    assert strides["layer2.0.downsample.0"] == (2, 2)


@pytest.mark.parametrize("factory", ["resnet18", "resnet34", "resnet50", "resnet101"])
def test_torchvisions_network_of_the_same_weights_gives_the_same_logits(factory: str, tmp_path: Path) -> None:
    models: Any = pytest.importorskip("torchvision.models")
    recipe = recipe_of(tmp_path, factory, side=64)
    ours = seeded(build_network(recipe), recipe)
    theirs: Callable[[torch.Tensor], torch.Tensor] = getattr(models, factory)(num_classes=10).eval()
    theirs.load_state_dict(ours.state_dict())  # type: ignore[attr-defined]
    images = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        assert torch.allclose(ours(images), theirs(images), atol=1e-5)


def test_unets_names_are_those_of_the_checkpoints_that_exist() -> None:
    with torch.device("meta"):
        names = set(UNet(2).state_dict())
        small = set(UNet(2, bilinear=True).state_dict())
    assert {re.sub(r"\..*", "", name) for name in names} == {
        "inc", "down1", "down2", "down3", "down4", "up1", "up2", "up3", "up4", "outc",
    }  # fmt: skip
    assert {
        "inc.double_conv.0.weight",
        "inc.double_conv.4.running_mean",
        "down1.maxpool_conv.1.double_conv.3.weight",
        "up1.up.weight",
        "up1.conv.double_conv.0.weight",
        "outc.conv.bias",
    } <= names
    assert names - small == {f"up{i}.up.{word}" for i in range(1, 5) for word in ("weight", "bias")}


def test_a_siamese_network_compares_what_it_embeds() -> None:
    torch.manual_seed(0)
    network = SiameseNetwork(8, width=4).eval()
    first, second = torch.rand(3, 1, 16, 16), torch.rand(3, 1, 16, 16)
    with torch.inference_mode():
        apart, same = network.distance(first, second), network.distance(first, first)
        one, other = (nn.functional.normalize(network(each), dim=1) for each in (first, second))
    assert torch.allclose(apart, (one - other).norm(dim=1), atol=1e-4)
    assert same.max() < 1e-4 < apart.min()


def test_a_batch_size_of_one_is_still_a_dynamic_batch(tmp_path: Path) -> None:
    recipe = recipe_of(tmp_path, "convnet")
    save_file(seeded(build_network(recipe), recipe).state_dict(), tmp_path / "checkpoint.safetensors")
    original = load_original(recipe)
    assert isinstance(original, TorchOriginal)
    info = write_servable(original.model, dataclasses.replace(recipe, max_batch_size=1), tmp_path / "one.onnx")
    assert info.inputs[0].shape == (32, 32, 3)
    assert len(OnnxRunner(tmp_path / "one.onnx").run(pictures(5, recipe))["probabilities"]) == 5
