"""The original that a recipe names: a network with its weights, or an ONNX file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from exporters.base import Array, GraphInfo, Original, Reference, Tell
from exporters.checkpoint import load_weights
from exporters.graph import Servable, servable, write_servable
from exporters.networks.registry import build_network
from exporters.onnx_source import load_onnx_source
from exporters.recipe import Recipe
from exporters.source_file import local_file, sha256_of

__all__ = ["Original", "TorchOriginal", "TorchReference", "load_original"]


def _quiet(what: str, done: int, total: int) -> None:
    pass


class TorchReference:
    """PyTorch in float32, on the CPU."""

    def __init__(self, model: Servable) -> None:
        self._model = model

    def run(self, images: Array) -> Mapping[str, Array]:
        with torch.inference_mode():
            made = self._model(torch.from_numpy(images))
        tensors = made if isinstance(made, tuple) else (made,)
        return {name: tensor.numpy() for name, tensor in zip(self._model.outputs, tensors, strict=True)}


class TorchOriginal:
    """A network with the weights of a checkpoint."""

    def __init__(self, model: Servable, recipe: Recipe, sha256: str) -> None:
        self.model, self._recipe, self.sha256 = model, recipe, sha256
        self.reference: Reference = TorchReference(model)

    def export(self, path: Path, tell: Tell) -> GraphInfo:
        tell("writing the graph", 0, 1)
        info = write_servable(self.model, self._recipe, path)
        tell("writing the graph", 1, 1)
        return info


def load_original(recipe: Recipe, *, tell: Tell = _quiet) -> Original:
    """The recipe's network or ONNX file, loaded and run once; raises ExportFailed. `tell` hears of downloads."""
    network = recipe.network
    if network.source:
        return load_onnx_source(local_file(network.source, recipe.directory, network.sha256, tell), recipe)
    module = build_network(recipe)
    path = local_file(network.checkpoint, recipe.directory, network.sha256, tell)
    load_weights(module, path)
    return TorchOriginal(servable(module, recipe), recipe, sha256_of(path))
