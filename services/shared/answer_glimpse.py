"""What an answer tells about its picture: the same in live traffic as of an export's evaluation pictures."""

from __future__ import annotations

import numpy as np

from services.shared.answer import ImageAnswer
from services.shared.drift.base import Glimpse
from services.shared.imaging.base import DecodedImage
from services.shared.imaging.words import Task
from services.shared.model_ref import ModelRef


def glimpse_of(ref: ModelRef, task: Task, picture: DecodedImage, answer: ImageAnswer) -> Glimpse:
    """`answer` has its best prediction first, where its task ranks any."""
    label: int | None = None
    score: float | None = None
    if task in ("classification", "detection"):
        best = answer.predictions[:1]
        label, score = (best[0].index, best[0].score) if best else (-1, 0.0)
    vector = None if answer.embedding is None else np.array(answer.embedding.values, dtype=np.float32)
    return Glimpse(ref, picture.tensor, picture.width, picture.height, label, score, vector)
