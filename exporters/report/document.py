"""The report as one JSON document: everything that was measured, nothing rounded."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from exporters.base import Accuracy, VariantResult
from exporters.recipe import Recipe, VariantName


def document(recipe: Recipe, results: Sequence[VariantResult], best: VariantName | None) -> dict[str, Any]:
    """Numbers that are not finite become null, as JSON has no word for them."""
    found: dict[str, Any] = _finite(
        {
            "model": recipe.name,
            "task": recipe.task,
            "labels": list(recipe.labels),
            "gates": asdict(recipe.gates),
            "best": best,
            "variants": [_variant(result) for result in results],
        }
    )
    return found


def _variant(result: VariantResult) -> dict[str, Any]:
    return {
        "name": result.variant.name,
        "precision": result.variant.precision,
        "backend": result.variant.backend,
        "notes": dict(result.variant.notes),
        "parity": asdict(result.parity),
        "accuracy": _accuracy(result.accuracy),
        "original_accuracy": _accuracy(result.reference_accuracy),
        "failures": list(result.failures),
        "timings": [asdict(timing) for timing in result.timings],
    }


def _accuracy(accuracy: Accuracy | None) -> dict[str, Any] | None:
    return None if accuracy is None else asdict(accuracy)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
