"""Which layers of a quantized graph are furthest from the float graph, measured on pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any


def worst_layers(float_graph: Path, quantized: Path, pictures: Any, layers: Sequence[str], staging: Path) -> list[str]:
    """The named layers, the one with the lowest signal-to-quantization-noise ratio of its output first.

    `pictures` is a calibration reader, read once. Layers whose output is not quantized, and so is exact, are left out.
    """
    from onnxruntime.quantization.qdq_loss_debug import (
        collect_activations,
        compute_activation_error,
        create_activation_matching,
        modify_model_output_intermediate_tensors,
    )

    shown = {}
    batches = _Again(pictures)
    for kind, graph in (("float", float_graph), ("quantized", quantized)):
        path = staging / f"int8_shown_{kind}.onnx"
        modify_model_output_intermediate_tensors(graph, path)
        shown[kind] = collect_activations(str(path), batches.reader())
    errors = compute_activation_error(create_activation_matching(shown["quantized"], shown["float"]))
    output_of = _outputs(float_graph)
    ratios = {layer: errors[output_of[layer]] for layer in layers if output_of.get(layer) in errors}
    return sorted(ratios, key=lambda layer: ratios[layer].get("xmodel_err", ratios[layer]["qdq_err"]))


class _Again:
    """Pictures that can be read more than once."""

    def __init__(self, pictures: Any) -> None:
        self._batches = []
        while (batch := pictures.get_next()) is not None:
            self._batches.append(batch)

    def reader(self) -> _Reader:
        return _Reader(list(self._batches))


class _Reader:
    """One reading of some batches, as a CalibrationDataReader gives them."""

    def __init__(self, batches: list[Any]) -> None:
        self._batches = batches

    def get_next(self) -> Any:
        return self._batches.pop(0) if self._batches else None

    def __iter__(self) -> _Reader:
        return self

    def __next__(self) -> Any:
        if not self._batches:
            raise StopIteration
        return self._batches.pop(0)


def _outputs(graph: Path) -> dict[str, str]:
    """Each node's first output; where a rectifier follows a layer, its output, because the pair is quantized as one."""
    import onnx

    nodes = list(onnx.load(graph).graph.node)
    rectified = {node.input[0]: node.output[0] for node in nodes if node.op_type in ("Relu", "Clip")}
    return {node.name: rectified.get(node.output[0], node.output[0]) for node in nodes if node.output}
