"""The graph that is served: uint8 pictures in, probabilities out, normalisation and softmax inside."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

INPUT, OUTPUT = "image", "probabilities"


class ServableClassifier(nn.Module):
    """[n, height, width, channels] uint8 to [n, classes] float32 that sum to 1.

    `mean` and `std` are per channel, of pixels scaled to 0..1. The cast comes before the transpose because TensorRT
    refuses to transpose uint8; `contiguous` keeps the exporter from writing the permutation as a gather.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, network: nn.Module, *, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.network = network
        means, deviations = torch.tensor(mean), torch.tensor(std)
        self.register_buffer("scale", 1 / (255 * deviations), persistent=False)
        self.register_buffer("shift", -means / deviations, persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        pixels = image.to(torch.float32) * self.scale + self.shift
        logits: Tensor = self.network(pixels.permute(0, 3, 1, 2).contiguous())
        return torch.softmax(logits, dim=1)


def export_onnx(model: ServableClassifier, shape: tuple[int, int, int], path: Path, *, max_batch_size: int) -> None:
    """Writes one ONNX file with a dynamic batch of 1 to `max_batch_size`; `shape` is height, width, channels."""
    example = torch.zeros((2, *shape), dtype=torch.uint8)
    batch = torch.export.Dim("batch", min=1, max=max_batch_size)
    # One line for each operator of a package that is not installed, and not needed.
    logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns of its own deprecated parts
        torch.onnx.export(
            model.eval(),
            (example,),
            path,
            dynamo=True,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes=({0: batch},),
            external_data=False,
            optimize=True,
            verbose=False,
        )
