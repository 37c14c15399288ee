"""What an export and a profile are put together from."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from exporters.base import LabelledImages, Original, Tell, VariantResult
from exporters.recipe import Recipe, VariantName
from services.shared.backends.base import Backend
from services.shared.backends.onnx_runtime import OnnxRuntimeBackend
from services.shared.backends.tensorrt import TensorRtBackend
from services.shared.clock import SystemClock
from services.shared.drift.reference_files import ReferenceFiles
from services.shared.repository.disk import DiskRepository

if TYPE_CHECKING:
    from exporters.pipeline import Parts
    from exporters.publish import PublishingRepository


def cores() -> int:
    """The CPU cores that this process may use."""
    return len(os.sched_getaffinity(0))


def backends() -> Mapping[str, Backend]:
    """Every backend that serves."""
    onnx = OnnxRuntimeBackend()
    tensorrt = TensorRtBackend(onnx)
    return {onnx.name: onnx, tensorrt.name: tensorrt}


def reference_files(root: Path) -> ReferenceFiles:
    """The references for drift of the model repository in a directory."""
    return ReferenceFiles(root)


def open_repository(root: Path) -> PublishingRepository:
    """The model repository in a directory."""
    return DiskRepository(root)


def export_parts() -> Parts:
    """The real parts; needs PyTorch."""
    from exporters.pipeline import Parts
    from exporters.variants import BUILDERS

    return Parts(
        load_original=_load_original,
        labelled_images=labelled_images,
        builders=BUILDERS,
        write_report=_write_report,
        backends=backends(),
        open_repository=open_repository,
        clock=SystemClock(),
        cores=cores(),
    )


def _load_original(recipe: Recipe, tell: Tell) -> Original:
    from exporters.original import load_original

    return load_original(recipe, tell=tell)


def labelled_images(text: str, recipe: Recipe, limit: int | None) -> LabelledImages:
    """What a recipe's data names; needs scikit-learn for its scans."""
    from exporters import data

    return data.labelled_images(text, recipe, limit=limit)


def _write_report(directory: Path, recipe: Recipe, results: Sequence[VariantResult], best: VariantName | None) -> None:
    from exporters.report import write_report

    write_report(directory, recipe, results, best)
