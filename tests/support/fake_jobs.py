"""Jobs as the API tells of them, without a store, a worker or a model: what `job_server` serves."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import orjson
from python_multipart.multipart import parse_options_header

from services.api.form_stream import form_parts

BAD = b"bad"
ENDS = ("succeeded", "failed", "cancelled", "expired")
HANG_UP, END_EARLY, SILENT = 0, -1, -2


@dataclass
class FakeJob:
    """It moves on by `step` images each time that anybody looks at it. What begins with BAD fails."""

    job_id: str
    model: str
    images: list[tuple[str, bytes]]
    query: dict[str, str]
    done: int = 0
    state: str = "queued"
    step: int = 1

    @property
    def failed(self) -> int:
        return sum(content.startswith(BAD) for _, content in self.images[: self.done])

    @property
    def is_ended(self) -> bool:
        return self.state in ENDS

    def look(self) -> dict[str, Any]:
        """Its document; it has moved on."""
        if not self.is_ended:
            self.done = min(self.done + self.step, len(self.images))
            self.state = "succeeded" if self.done == len(self.images) else "running"
        return self.document

    @property
    def document(self) -> dict[str, Any]:
        return {
            "job_id": self.job_id,
            "model": self.model,
            "version": None,
            "state": self.state,
            "total": len(self.images),
            "done": self.done - self.failed,
            "failed": self.failed,
            "priority": self.query.get("priority", "normal"),
            "reason": "",
            "created_at": "2026-01-02T03:04:05.678Z",
            "started_at": None,
            "finished_at": None,
            "expires_at": None,
            "status_url": f"/v1/jobs/{self.job_id}",
        }

    def line(self, index: int) -> bytes:
        name, content = self.images[index]
        if content.startswith(BAD):
            said: dict[str, Any] = {"error": {"cause": "undecodable_image", "detail": "the bytes are not an image"}}
        else:
            served = {"model": self.model, "version": 3, "arm": "stable"}
            best = {"label": content.decode("utf-8", "replace"), "index": 0, "score": 0.75}
            said = {"result": {"served_by": served, "feedback_id": f"f{index}", "predictions": [best]}}
        return orjson.dumps({"index": index, "name": name} | said) + b"\n"


@dataclass
class Fault:
    """What comes instead of the next answer to `route` (`POST jobs`, `GET job`, `GET events`, `GET results`).

    `status` with `headers`, or HANG_UP: then what was asked is done and `after` messages of a stream are sent first;
    END_EARLY ends a stream there as if it were whole, SILENT says nothing more until the server stops.
    """

    route: str
    status: int = HANG_UP
    headers: dict[str, str] = field(default_factory=dict)
    after: int = 0
    detail: str = "as ordered"


async def images_in(form: bytes, content_type: str) -> list[tuple[str, bytes]]:
    """The files named 'image', as the API reads them."""

    async def pieces() -> AsyncIterator[bytes]:
        yield form

    _, options = parse_options_header(content_type)
    images = []
    async for part in form_parts(pieces(), options[b"boundary"], max_parts=2000):
        assert part.name == "image"
        assert part.file_name is not None
        images.append((part.file_name, b"".join([piece async for piece in part.content])))
    return images
