"""What a model says of one picture, as the public contract names its fields: the same in an answer and in a job."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

from services.shared.answer import ImageAnswer
from services.shared.imaging.classification import Prediction
from services.shared.model_ref import ModelRef


def predictions_document(result: ImageAnswer) -> Any:
    """The value of `predictions`, by task."""
    if result.segmentation is not None:
        mask = result.segmentation
        return {
            "classes": [{"label": c.label, "index": c.index, "share": c.share} for c in mask.classes],
            "mask_png_b64": b64encode(mask.mask_png).decode(),
            "mask_width": mask.mask_width,
            "mask_height": mask.mask_height,
        }
    if result.embedding is not None:
        return {"embedding": result.embedding.values}
    return [
        {"label": p.label, "index": p.index, "score": p.score}
        if isinstance(p, Prediction)
        else {"label": p.label, "index": p.index, "score": p.score, "box": p.box}
        for p in result.predictions
    ]


def image_document(result: ImageAnswer) -> dict[str, object]:
    """The value of `image`."""
    return {"width": result.width, "height": result.height, "format": result.format}


def served_by_document(ref: ModelRef, arm: str) -> dict[str, object]:
    """The value of `served_by`."""
    return {"model": ref.name, "version": ref.version, "arm": arm}
