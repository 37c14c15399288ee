"""The JSON of releases and feedback, as the OpenAPI document describes it."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from services.api.job_schemas import Time
from services.api.schemas import EXACT_VERSION, Name
from services.shared.observations.base import MAX_REWARD
from services.shared.release.plan import Strategy
from services.shared.release.state import Phase

Percent = Annotated[float, Field(ge=0, le=100)]
Index = Annotated[int, Field(ge=0)]
Revision = Annotated[int, Field(ge=0, json_schema_extra={"maximum": EXACT_VERSION})]
ReleaseId = Annotated[str, Field(examples=["digits-20260102-5f3a9c"])]
Ref = Annotated[str, Field(description="model/version", examples=["digits/1"])]
PhaseWord = Annotated[str, Field(json_schema_extra={"enum": [phase.value for phase in Phase]})]
StrategyWord = Annotated[str, Field(json_schema_extra={"enum": [strategy.value for strategy in Strategy]})]


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ArmDocument(_Document):
    """`weight` is the percentage of keys that the arm answers now."""

    arm: str
    ref: Ref
    weight: Percent


class ReleaseDocument(_Document):
    """Where a release is. `step` counts from 0 and is `steps` when all are done; `weight` is the percentage of keys
    that do not get stable, `shadow` that of those that are mirrored; `failed`: a guardrail has failed, and no weight
    rises any more; `since`: when the phase or step began; `revision` is the ETag. `plan` is as it was understood."""

    release: ReleaseId
    model: Name
    strategy: StrategyWord
    phase: PhaseWord
    step: Index
    steps: Index
    weight: Percent
    shadow: Percent
    arms: list[ArmDocument]
    reason: str
    failed: bool
    winner: str | None
    is_over: bool
    default_before: Ref
    created_at: Time
    since: Time
    revision: Revision
    plan: dict[str, Any]


class ReleaseList(_Document):
    """By name. `unreadable` are names whose release a newer version of the software has written."""

    releases: list[ReleaseDocument]
    unreadable: list[Name]


class EventDocument(_Document):
    """What became of a release: by whom, when, from which phase (null: it began) to which, and why. `by` is
    the controller or an administrator, whose key's name and id are told to administrators only."""

    at: Time
    release: ReleaseId
    by: str
    from_: Annotated[str | None, Field(alias="from")]
    to: PhaseWord
    step: Index
    weight: Percent
    why: str


class EventList(_Document):
    """The oldest first; `next` is the `start` of the page that follows."""

    model: Name
    events: list[EventDocument]
    next: Index


class PointArmDocument(_Document):
    """Of one arm between two points; latencies are null where it answered nothing."""

    requests: Index
    errors: Index
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None


class PointDocument(_Document):
    at: Time
    step: Index
    phase: PhaseWord
    weights: dict[str, float]
    arms: dict[str, PointArmDocument]


class Timeline(_Document):
    """The course of a release, the oldest point first; of a long release the oldest are dropped."""

    release: ReleaseId
    model: Name
    points: list[PointDocument]


class PromoteBody(_Document):
    """`arm` is needed where the plan has several."""

    arm: Annotated[str, Field(max_length=64, examples=["candidate"])] = ""


class FeedbackBody(_Document):
    """The truth about an answer: `label` is the class (name or index) that it should have had, or `correct` says
    whether it was right; `reward` is any number, the larger the better. At least one of them."""

    feedback_id: Annotated[str, Field(min_length=1, max_length=512, strict=True, examples=["c2lnbmVk"])]
    label: Annotated[int, Field(strict=True, ge=0)] | Annotated[str, Field(strict=True, max_length=512)] | None = None
    correct: Annotated[bool, Field(strict=True)] | None = None
    reward: Annotated[float, Field(strict=True, ge=-MAX_REWARD, le=MAX_REWARD, allow_inf_nan=False)] | None = None


class FeedbackCounted(_Document):
    """`counted` is false when the same feedback_id was counted before: the first word stands."""

    counted: bool
