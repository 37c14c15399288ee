"""8 bits for CPUs: static quantize/dequantize, unsigned activations, signed weights per channel.

Unsigned activations because ONNX Runtime's kernels for VNNI take u8 x s8: of ResNet-50 on one core they are more than
twice as fast as signed ones. Ranges come from real pictures, by the method that keeps the answers nearest.
"""

from __future__ import annotations

import contextlib
import io
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from exporters.base import Array, BuiltVariant, ExportFailed, LabelledImages, Parity, Tell, VariantInputs
from exporters.proof.parity import measure_parity
from exporters.recipe import Gates, VariantName
from exporters.variants.float_ends import WEIGHTED, float_ends
from exporters.variants.layer_errors import worst_layers
from exporters.variants.prepared import CalibrationPictures, Prepared, prepare

# Entropy and percentile keep a histogram of every tensor: fewer pictures than the plain minimum and maximum.
METHODS = {"MinMax": 512, "Percentile": 128, "Entropy": 128}
_JUDGED_PICTURES = 256
_BUDGET_S = 240.0  # after it no further method or layer is tried


@dataclass(frozen=True, slots=True)
class Attempt:
    """One way of quantizing, and how near its answers are."""

    method: str
    kept: tuple[str, ...]
    path: Path
    parity: Parity

    @property
    def nearness(self) -> tuple[float, float]:
        return (self.parity.top1_agreement or 0.0, self.parity.cosine)


def passes(parity: Parity, gates: Gates) -> bool:
    """Whether the calibration pictures already say that the gates will be kept."""
    agrees = parity.top1_agreement is None or parity.top1_agreement >= gates.min_top1_agreement
    return agrees and parity.cosine >= gates.min_cosine


class Int8Builder:
    """Every method is tried; then, while the gates are not kept, the layers with the largest measured error stay in
    float: one, two, four … of them."""

    name: VariantName = "int8"

    def build(self, inputs: VariantInputs, tell: Tell) -> BuiltVariant:
        if inputs.calibration is None or len(inputs.calibration) == 0:
            raise ExportFailed(f"{self.name} needs pictures to calibrate with: name them as [data] calibration")
        return _Search(inputs, inputs.calibration, tell).run()


class _Search:
    def __init__(self, inputs: VariantInputs, calibration: LabelledImages, tell: Tell) -> None:
        self._inputs, self._calibration, self._tell = inputs, calibration, tell
        self._prepared: Prepared = prepare(inputs.fp32, inputs.staging / "int8_prepared.onnx")
        self._ends = tuple(float_ends(self._prepared.load()))
        self._judged = FirstPictures(calibration, _JUDGED_PICTURES)
        self._attempts: list[Attempt] = []
        self._end = time.monotonic() + _BUDGET_S

    def run(self) -> BuiltVariant:
        gates = self._inputs.recipe.gates
        for done, method in enumerate(METHODS):
            self._tell(f"int8: calibrating by {method}", done, len(METHODS))
            if done == 0 or time.monotonic() < self._end:
                self._attempts.append(self._attempt(method, ()))
        best = max(self._attempts, key=lambda attempt: attempt.nearness)
        self._tell("int8: calibrating", len(METHODS), len(METHODS))
        best = self._keep_layers(best, gates)
        notes = {
            "calibration": best.method,
            "images": CalibrationPictures(self._calibration, "", limit=METHODS[best.method]).count,
            "float_nodes": list(self._ends),
            "float_layers": list(best.kept),
            "tried": [
                {
                    "method": attempt.method,
                    "float_layers": len(attempt.kept),
                    "top1_agreement": attempt.parity.top1_agreement,
                    "cosine": attempt.parity.cosine,
                }
                for attempt in self._attempts
            ],
        }
        return BuiltVariant("int8", best.path, "int8", notes=notes)

    def _keep_layers(self, best: Attempt, gates: Gates) -> Attempt:
        if passes(best.parity, gates):
            return best
        weighted = [node.name for node in self._prepared.load().graph.node if node.op_type in WEIGHTED]
        pictures = CalibrationPictures(self._calibration, self._input_name(), limit=32)
        ranked = worst_layers(self._prepared.path, best.path, pictures, weighted, self._inputs.staging)
        count = 1
        while count < len(ranked) and not passes(best.parity, gates) and time.monotonic() < self._end:
            self._tell(f"int8: keeping {count} layers in float", count, len(ranked))
            attempt = self._attempt(best.method, tuple(ranked[:count]))
            self._attempts.append(attempt)
            best = max(best, attempt, key=lambda each: each.nearness)
            count *= 2
        return best

    def _attempt(self, method: str, kept: tuple[str, ...]) -> Attempt:
        path = self._inputs.staging / f"int8_{method.lower()}_{len(kept)}.onnx"
        pictures = CalibrationPictures(self._calibration, self._input_name(), limit=METHODS[method])
        quantize(self._prepared.path, path, pictures, method, [*self._ends, *kept])
        return Attempt(method, kept, path, measure_parity(path, self._inputs.reference, self._judged))

    def _input_name(self) -> str:
        return str(self._prepared.load().graph.input[0].name)


def quantize(source: Path, path: Path, pictures: Any, method: str, kept: list[str]) -> None:
    """Writes the quantized graph; raises ExportFailed with the reason."""
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    try:
        with contextlib.redirect_stdout(io.StringIO()):  # it prints what it does, over our progress bars
            quantize_static(
                source,
                path,
                pictures,
                quant_format=QuantFormat.QDQ,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                per_channel=True,
                calibrate_method=CalibrationMethod[method],
                nodes_to_exclude=kept,
            )
    except (ValueError, NotImplementedError, RuntimeError) as error:
        raise ExportFailed(f"int8: {error}") from error


class FirstPictures:
    """At most `limit` of some pictures, the first ones."""

    def __init__(self, images: LabelledImages, limit: int) -> None:
        self._images = images
        self._limit = min(limit, len(images))
        self.labels: Array = images.labels[: self._limit]

    def __len__(self) -> int:
        return self._limit

    def batches(self, size: int) -> Iterator[tuple[Array, Array]]:
        left = self._limit
        for pictures, labels in islice(self._images.batches(size), -(-self._limit // size)):
            yield pictures[:left], labels[:left]
            left -= len(pictures)
