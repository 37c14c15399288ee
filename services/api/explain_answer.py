"""The 200 answer of a request to explain: JSON with a heatmap, or a picture to look at."""

from __future__ import annotations

from base64 import b64encode

import orjson

from services.shared.answer_document import served_by_document
from services.shared.explanation.explainer import Explanation
from services.shared.imaging.heatmap import Sketch, heatmap, overlay

Headers = list[tuple[bytes, bytes]]


def json_body(explained: Explanation, request_id: str, model: str, total_s: float) -> bytes:
    """As the public contract names its fields; `width` and `height` are the source's, upright."""
    drawn = heatmap(explained.heat, explained.picture)
    prediction = explained.prediction
    return orjson.dumps(
        {
            "request_id": request_id,
            "model": model,
            "served_by": served_by_document(explained.route.ref, explained.route.arm),
            "label": prediction.label,
            "index": prediction.index,
            "score": prediction.score,
            "method": explained.method.value,
            "evaluations": explained.evaluations,
            "width": explained.picture.width,
            "height": explained.picture.height,
            "heatmap_png_b64": b64encode(drawn.png).decode(),
            "heatmap_width": drawn.width,
            "heatmap_height": drawn.height,
            "timings_ms": {"total": round(1000 * total_s, 3)},
        }
    )


def picture_body(explained: Explanation, image: bytes, sketch: Sketch) -> bytes:
    """A PNG of the picture with the heat over it."""
    return overlay(explained.heat, explained.picture, image, sketch)


def headers_of_answer(explained: Explanation, media_type: bytes, length: int, cookie: bytes | None) -> Headers:
    headers = [
        (b"content-type", media_type),
        (b"content-length", str(length).encode()),
        (b"vary", b"Accept"),
        (b"x-served-by", str(explained.route.ref).encode()),
        (b"x-release-arm", explained.route.arm.encode()),
    ]
    return headers if cookie is None else [*headers, (b"set-cookie", cookie)]
