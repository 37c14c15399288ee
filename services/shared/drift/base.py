"""What is compared: a reference from the export and what was looked at lately, both as counts over the same bins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from services.shared.model_ref import ModelRef
from services.shared.tensors import Array

REFERENCE_FILE = "reference.json"  # in the version's directory
SLOT_S = 60  # live counts are kept by the minute
MAX_WINDOW_S, MIN_WINDOW_S = 3600, 300
MIN_SAMPLES = 100  # with fewer, nothing is said


@dataclass(frozen=True, slots=True)
class Glimpse:
    """One picture that was looked at and is forgotten after it was counted.

    `tensor` is what the model was given (uint8, HxWxC), `width` and `height` are of the picture as it was sent.
    `label` and `score` are of the best class (-1 and 0 where nothing was found), None for a task without classes;
    `vector` is the answer of an embedding.
    """

    ref: ModelRef
    tensor: Array
    width: int
    height: int
    label: int | None = None
    score: float | None = None
    vector: Array | None = None


@dataclass(frozen=True, slots=True)
class Axes:
    """Where embeddings of the reference lie: their `mean` [d], and the directions in which they differ most [k, d]
    (the first eigenvectors of their covariance, of length 1)."""

    mean: Array
    directions: Array


@dataclass(frozen=True, slots=True)
class FeatureReference:
    """A number of each picture, counted over bins: bin i is edges[i-1] < value <= edges[i], the first and the last are
    open. `bins` names them where they are classes."""

    name: str
    edges: tuple[float, ...]
    counts: tuple[int, ...]
    bins: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reference:
    """What a version's evaluation pictures are like. `identity` is of the file: counts over other bins never meet."""

    made_from: str
    samples: int
    features: tuple[FeatureReference, ...]
    axes: Axes | None = None
    identity: str = ""


@dataclass(frozen=True, slots=True)
class LiveCounts:
    """What was looked at in a window, by feature, over the reference's bins."""

    samples: int
    counts: Mapping[str, tuple[int, ...]]
