"""References and windows in the small."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from services.shared.drift.base import Glimpse, Reference
from services.shared.drift.reference import make_reference
from services.shared.drift.reference_files import ReferenceFiles
from services.shared.model_ref import ModelRef

PETS = ModelRef("pets", 1)
LABELS = ("cat", "dog", "fox")


def glimpse(grey: float, label: int = 0, *, ref: ModelRef = PETS, side: int = 8) -> Glimpse:
    """A picture of one grey."""
    tensor = np.full((side, side, 1), round(grey), dtype=np.uint8)
    return Glimpse(ref, tensor, 640, 480, label, 0.9)


def glimpses(greys: Sequence[float]) -> list[Glimpse]:
    """Their classes take turns."""
    return [glimpse(grey, i % len(LABELS)) for i, grey in enumerate(greys)]


def evenly_grey(count: int = 300) -> list[Glimpse]:
    """Every grey from 50 to 199 as often as every other."""
    return glimpses([50 + 150 * i / count for i in range(count)])


def published(models: Path, ref: ModelRef = PETS) -> tuple[ReferenceFiles, Reference]:
    """A repository whose one version has the reference of `evenly_grey`, as it is read."""
    (models / ref.name / str(ref.version)).mkdir(parents=True)
    files = ReferenceFiles(models)
    files.write(ref, make_reference(evenly_grey(), LABELS, "pictures"))
    reference = files.read(ref)
    assert reference is not None
    return files, reference
