"""The JSON of jobs, as the OpenAPI document describes it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from services.api.schemas import Name, Version
from services.shared.jobs.job import JobState
from services.shared.jobs.plan import MAX_ITEMS

Time = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
Path = Annotated[str, Field(json_schema_extra={"format": "uri-reference"})]
Count = Annotated[int, Field(ge=0, le=MAX_ITEMS)]


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid")


class JobDocument(_Document):
    """A job: `done` images have an answer, `failed` ones a reason. `expires_at` is when an ended job is forgotten;
    `reason` says why it ended early. `expired`: its deadline passed first."""

    job_id: str
    model: Name
    version: Version | None
    state: Annotated[str, Field(json_schema_extra={"enum": [state.value for state in JobState]})]
    total: Count
    done: Count
    failed: Count
    created_at: Time
    started_at: Time | None
    finished_at: Time | None
    expires_at: Time | None
    reason: str
    priority: Literal["high", "normal", "low"]
    status_url: Path
    results_url: Path
    events_url: Path


class JobList(_Document):
    """The newest first."""

    jobs: list[JobDocument]


class JobLimitsDocument(_Document):
    """What one job may hold: a client tells people before they send it."""

    max_images: Annotated[int, Field(ge=1, le=MAX_ITEMS)]
    max_bytes: Annotated[int, Field(ge=1, description="of all its images together, and of the body that brings them")]
    max_image_bytes: Annotated[int, Field(ge=1, description="of each image")]


class DeadLetterDocument(_Document):
    """An image that was given up after so many attempts."""

    dead_id: str
    job_id: str
    index: Count
    name: str
    reason: str
    attempts: int
    at: Time


class DeadLetterList(_Document):
    """The newest first."""

    dead: list[DeadLetterDocument]
