"""What a request gets: predictions for each image, and who made them."""

from __future__ import annotations

from dataclasses import dataclass

from services.shared.imaging.classification import Prediction
from services.shared.imaging.detection import Detection
from services.shared.imaging.embedding import Embedding
from services.shared.imaging.segmentation import Segmentation
from services.shared.model_ref import ModelRef
from services.shared.release.routing import Route


@dataclass(slots=True)  # not frozen, as in `imaging/base.py`: there are many
class ImageAnswer:
    """What a model says of one picture, and the picture's size after EXIF orientation.

    `predictions` are best first; a task without a ranking has none, and gives its `segmentation` or `embedding`.
    """

    predictions: tuple[Prediction, ...] | tuple[Detection, ...]
    width: int
    height: int
    format: str
    segmentation: Segmentation | None = None
    embedding: Embedding | None = None


@dataclass(frozen=True, slots=True)
class Timings:
    """Milliseconds spent; `total` is from the first byte decoded to the answer."""

    decode: float
    queue: float
    infer: float
    total: float


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request gets: one result per image, in the request's order, and who answered."""

    route: Route
    results: tuple[ImageAnswer, ...]
    timings_ms: Timings

    @property
    def served_by(self) -> ModelRef:
        return self.route.ref

    @property
    def arm(self) -> str:
        return self.route.arm

    @property
    def top_1(self) -> tuple[int, float]:
        """The first image's best class and its score; -1 and 0 for a task without classes."""
        best = self.results[0].predictions[:1] if self.results else ()
        return (best[0].index, best[0].score) if best else (-1, 0.0)
