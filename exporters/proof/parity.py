"""How far a variant's outputs are from the original's on the same pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from exporters.base import Array, ExportFailed, LabelledImages, Parity, Reference
from exporters.proof.onnx_runner import OnnxRunner

# A relative error is |a - b| / max(|b|, this): of probabilities, what is below a thousandth decides nothing.
RELATIVE_FLOOR = 1e-3
# Upper edges of the bins of `Parity.errors`, decades of the absolute error; one bin more holds all beyond the last.
ERROR_EDGES = (1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)


class ParityMeter:
    """Adds up batches; holds none of them."""

    def __init__(self) -> None:
        self._images = self._compared = self._agreeing = 0
        self._max_abs = self._max_relative = 0.0
        self._dot = self._actual_square = self._expected_square = 0.0
        self._errors = np.zeros(len(ERROR_EDGES) + 1, dtype=np.int64)

    def add(self, output: str, actual: Array, expected: Array) -> None:
        """One batch of the output of that name. Raises ExportFailed where the shapes differ."""
        if actual.shape != expected.shape:
            raise ExportFailed(
                f"output {output} has the shape {list(actual.shape)}, the original's has {list(expected.shape)}"
            )
        a, b = actual.astype(np.float64).ravel(), expected.astype(np.float64).ravel()
        difference = np.abs(a - b)
        self._images += len(actual)
        # np.maximum, unlike max, keeps a NaN: it must not pass for zero.
        self._max_abs = float(np.maximum(self._max_abs, difference.max(initial=0)))
        relative = difference / np.maximum(np.abs(b), RELATIVE_FLOOR)
        self._max_relative = float(np.maximum(self._max_relative, relative.max(initial=0)))
        self._dot += float(a @ b)
        self._actual_square += float(a @ a)
        self._expected_square += float(b @ b)
        self._errors += np.bincount(np.searchsorted(ERROR_EDGES, difference), minlength=len(self._errors))
        same = _same_class(output, actual, expected)
        if same is not None:
            self._compared += same.size
            self._agreeing += int(same.sum())

    def result(self) -> Parity:
        norms = np.sqrt(self._actual_square * self._expected_square)
        both_zero = self._actual_square == self._expected_square == 0
        return Parity(
            images=self._images,
            max_abs=self._max_abs,
            max_relative=self._max_relative,
            cosine=1.0 if both_zero else float(self._dot / norms) if norms else 0.0,
            top1_agreement=self._agreeing / self._compared if self._compared else None,
            errors=tuple(int(count) for count in self._errors),
        )


def measure_parity(onnx: Path, reference: Reference, images: LabelledImages, *, batch: int = 32) -> Parity:
    """Of the first output, over all pictures. Raises ExportFailed for a file that does not load or run, or whose
    outputs have other names or shapes than the reference's."""
    return compare(OnnxRunner(onnx), reference, images, batch=batch)


def compare(variant: Reference, reference: Reference, images: LabelledImages, *, batch: int = 32) -> Parity:
    """`measure_parity` for whatever runs the variant."""
    meter = ParityMeter()
    for pictures, _ in images.batches(batch):
        expected, actual = reference.run(pictures), variant.run(pictures)
        output = next(iter(expected))
        if output not in actual:
            raise ExportFailed(f"the variant has no output {output!r}, only {sorted(actual)}")
        meter.add(output, actual[output], expected[output])
    return meter.result()


def _same_class(output: str, actual: Array, expected: Array) -> Array | None:
    """Where both name the same class: by picture for probabilities, by pixel for a class map; None without classes."""
    if output == "probabilities":
        same: Array = actual.argmax(axis=-1) == expected.argmax(axis=-1)
        return same
    if output == "classes":
        return np.asarray(actual == expected)
    return None
