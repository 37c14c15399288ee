"""Where a published version comes from, as it is written beside the model."""

from __future__ import annotations

import importlib.metadata
import platform
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from exporters.base import GraphInfo, VariantResult
from exporters.recipe import Recipe

FILE = "provenance.json"
_PACKAGES = ("grayscale", "torch", "onnx", "onnxscript", "onnxruntime", "numpy", "tensorrt")


def provenance(
    recipe: Recipe,
    result: VariantResult,
    *,
    graph: GraphInfo | None,
    source_sha256: str,
    model_sha256: str,
    now: float,
) -> dict[str, Any]:
    """A JSON document; `graph` is the fp32 file that every variant was made from, `now` in Unix seconds."""
    return {
        "recipe_name": recipe.name,
        "variant": result.variant.name,
        "precision": result.variant.precision,
        "made_at": datetime.fromtimestamp(now, UTC).isoformat(timespec="seconds"),
        "source": {"file": recipe.network.checkpoint or recipe.network.source, "sha256": source_sha256},
        "model_sha256": model_sha256,
        "graph": None
        if graph is None
        else {"opset": graph.opset, "ir_version": graph.ir_version, "producer": graph.producer},
        "made_with": {"python": platform.python_version(), **versions(_PACKAGES)},
        "made_on": {"machine": platform.machine(), "system": platform.system()},
        "notes": dict(result.variant.notes),
        "metrics": {
            "parity": asdict(result.parity),
            "accuracy": None if result.accuracy is None else asdict(result.accuracy),
            "timings": [asdict(timing) for timing in result.timings],
        },
        "recipe": recipe.text,
    }


def versions(packages: tuple[str, ...]) -> dict[str, str]:
    """The installed ones' versions."""
    found = {}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
