"""From a recipe's `factory` to a network: one of ours by name, or any module by `path/to/file.py:function`."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from exporters.base import ExportFailed
from exporters.networks.convnet import ConvNet
from exporters.networks.lenet import LeNet5
from exporters.networks.resnet import resnet18, resnet34, resnet50, resnet101
from exporters.networks.siamese import SiameseNetwork
from exporters.networks.unet import UNet
from exporters.recipe import Recipe
from exporters.source_file import path_within

NETWORKS: Mapping[str, Callable[..., nn.Module]] = {
    "lenet5": LeNet5,
    "convnet": ConvNet,
    "resnet18": resnet18,
    "resnet34": resnet34,
    "resnet50": resnet50,
    "resnet101": resnet101,
    "unet": UNet,
    "siamese": SiameseNetwork,
}


def build_network(recipe: Recipe) -> nn.Module:
    """The recipe's network in eval mode, its weights not loaded yet; raises ExportFailed.

    A network of ours that is not told its `classes` or `channels` takes the number of labels and the input's channels.
    """
    text = recipe.network.factory
    if ":" in text:
        factory = _from_file(text, recipe.directory)
        arguments = dict(recipe.network.arguments)
    elif text in NETWORKS:
        factory = NETWORKS[text]
        arguments = {**_known(factory, recipe), **recipe.network.arguments}
    else:
        raise ExportFailed(
            f"there is no network {text!r}: use one of {', '.join(NETWORKS)}, or path/to/file.py:function"
        )
    network = _made(text, factory, arguments)
    if not isinstance(network, nn.Module):
        raise ExportFailed(f"{text} gave {type(network).__name__}: it must return a torch.nn.Module")
    return network.eval()


def _known(factory: Callable[..., nn.Module], recipe: Recipe) -> dict[str, Any]:
    known = {"channels": recipe.input.channels}
    if recipe.labels:
        known["classes"] = len(recipe.labels)
    accepted = inspect.signature(factory).parameters
    return {name: value for name, value in known.items() if name in accepted}


def _made(text: str, factory: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
    try:
        inspect.signature(factory).bind(**arguments)
    except TypeError as error:
        given = ", ".join(arguments) or "none"
        raise ExportFailed(f"{text} cannot be called with the arguments {given}: {error}") from error
    except ValueError:
        pass  # built in C: it has no signature, and says itself what it misses
    try:
        return factory(**arguments)
    except (Exception, SystemExit) as error:
        raise ExportFailed(f"{text} failed: {_said(error)}") from error


def _from_file(text: str, directory: Path) -> Callable[..., Any]:
    filename, _, function = text.rpartition(":")
    path = path_within(directory, filename)
    module = _module(path, text)
    factory = getattr(module, function, None)
    if not callable(factory):
        there = ", ".join(name for name, value in vars(module).items() if callable(value) and name[0] != "_")
        raise ExportFailed(f"{filename} has no function {function!r}: it has {there or 'none'}")
    made: Callable[..., Any] = factory
    return made


def _module(path: Path, text: str) -> ModuleType:
    """Runs the file. It is code of whoever wrote the recipe, and may do what they may."""
    name = f"_grayscale_factory_{path.stem}_{abs(hash(path))}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ExportFailed(f"{text} does not name a Python file: its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look a class's module up by its name
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise ExportFailed(f"{text} failed while {path.name} was imported: {_said(error)}") from error
    return module


def _said(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
