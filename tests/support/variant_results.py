"""Measured numbers as tests of decisions need them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from exporters.base import Accuracy, BuiltVariant, Parity, Timing, VariantResult
from exporters.recipe import VariantName


def timing(batch: int, p50_ms: float, *, threads: int = 1, p95_ms: float | None = None) -> Timing:
    """A point whose images per second follow from the median run."""
    p95 = p50_ms if p95_ms is None else p95_ms
    return Timing(batch, threads, 10, p50_ms, 0.0, p50_ms, p95, p95, 1000 * batch / p50_ms, 0)


def accuracy(share: float) -> Accuracy:
    return Accuracy(100, share, (share,), (share,), (share,), ((100,),), 0.0)


def result(
    name: VariantName = "fp32",
    timings: Sequence[Timing] = (),
    *,
    share: float | None = None,
    failures: Sequence[str] = (),
) -> VariantResult:
    return VariantResult(
        BuiltVariant(name, Path(f"{name}.onnx"), name),
        Parity(100, 0.0, 0.0, 1.0, 1.0),
        None if share is None else accuracy(share),
        None,
        tuple(failures),
        tuple(timings),
    )
