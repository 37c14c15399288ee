"""Bounds of one job's body and of the images in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from services.shared.asgi import BodyLimits
from services.shared.jobs.bounds import MAX_ITEMS
from services.shared.settings import Variables

if TYPE_CHECKING:
    from services.shared.archive.base import ArchiveLimits


@dataclass(frozen=True, slots=True)
class JobLimits:
    """`max_items` images of at most `max_image_bytes` each and `max_total_bytes` together, after decompression where
    they come in an archive. JSON is held in memory as a whole, so a body of it may have `max_json_bytes`."""

    body: BodyLimits = field(default_factory=lambda: BodyLimits(max_bytes=2**30, timeout_s=1800.0, idle_s=10.0))
    max_items: int = 1000
    max_image_bytes: int = 64 * 2**20
    max_total_bytes: int = 2**30
    max_json_bytes: int = 64 * 2**20

    @property
    def json_body(self) -> BodyLimits:
        limits = self.body
        return BodyLimits(min(limits.max_bytes, self.max_json_bytes), limits.timeout_s, limits.idle_s)

    def archive(self, items: int, total_bytes: int) -> ArchiveLimits:
        """What an archive may hold when the body has had so much before it."""
        from services.shared.archive.base import ArchiveLimits  # a process that only starts does without

        return ArchiveLimits(
            max_entries=max(0, self.max_items - items),
            max_entry_bytes=self.max_image_bytes,
            max_total_bytes=max(0, self.max_total_bytes - total_bytes),
        )


def job_limits(variables: Variables) -> JobLimits:
    """Raises SettingsError naming the variable."""
    default = JobLimits()
    max_bytes = variables.integer("GRAYSCALE_JOB_MAX_BYTES", default.body.max_bytes, minimum=1, maximum=2**40)
    return JobLimits(
        body=BodyLimits(
            max_bytes=max_bytes,
            timeout_s=variables.seconds("GRAYSCALE_JOB_BODY_TIMEOUT_S", default.body.timeout_s, maximum=86_400.0),
            idle_s=variables.seconds("GRAYSCALE_BODY_IDLE_S", default.body.idle_s),
        ),
        max_items=variables.integer("GRAYSCALE_JOB_MAX_IMAGES", default.max_items, minimum=1, maximum=MAX_ITEMS),
        max_image_bytes=variables.integer("GRAYSCALE_MAX_BODY_BYTES", default.max_image_bytes, minimum=1),
        max_total_bytes=max_bytes,
        max_json_bytes=default.max_json_bytes,
    )
