"""What is seen of releases: serving processes write what their arms did, controllers read it and leave what they found.

Totals are cumulative and belong to an incarnation of a process, so that writing them twice counts once, and what a
process wrote stays when it is gone. Everything expires KEPT_S after a release's last write.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from services.shared.errors import InvalidInput
from services.shared.feedback import EXPIRES_S, FeedbackClaim
from services.shared.model_ref import ModelRef
from services.shared.release.analysis import AnalysisState
from services.shared.release.mean_evidence import Sample
from services.shared.release.release_counters import ArmKey, ReleaseSnapshot

KEPT_S = 7 * 24 * 3600
COUNTED_S = int(EXPIRES_S) + 3600  # longer than a token is good for, also where clocks differ
MAX_POINTS = 2000  # of a release's timeline
MAX_REWARD = 1e6


@dataclass(frozen=True, slots=True)
class FeedbackTotals:
    """What is known of answers by their feedback: `right` of `labelled` were correct; `rewards` were given instead."""

    labelled: int = 0
    right: int = 0
    rewards: Sample = field(default_factory=lambda: Sample(0, 0.0, 0.0))


@dataclass(frozen=True, slots=True)
class Evidence:
    """All of one release until now, over all incarnations; the same object while nothing was written."""

    totals: ReleaseSnapshot = field(default_factory=ReleaseSnapshot)
    feedback: Mapping[ArmKey, FeedbackTotals] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Look:
    """What a controller's look left for the next one: an analysis for each arm of the plan, in its order, and the
    `report` for people, a JSON document. `at` in Unix seconds."""

    at: float
    analyses: tuple[AnalysisState, ...]
    report: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class PointArm:
    """What an arm did between two points; NaN where nothing was answered."""

    requests: int
    errors: int
    p50_ms: float
    p95_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True)
class Point:
    """One point of a release's timeline: what was in force, and what each arm did since the point before."""

    at: float
    step: int
    phase: str
    weights: Mapping[str, float]
    arms: Mapping[str, PointArm]


class ObservationStore(Protocol):
    """Every method raises Unavailable when the store cannot be used."""

    async def publish(self, incarnation: str, totals: ReleaseSnapshot) -> None:
        """What an incarnation has counted until now about any number of releases, in place of what it published of
        the same arms before. An arm that is not in `totals` keeps what was published of it."""
        ...

    async def evidence(self, releases: Collection[str]) -> Mapping[str, Evidence]:
        """For each release that is asked for, empty where nothing is known."""
        ...

    async def feedback(self, claim: FeedbackClaim, token: str, *, right: bool | None, reward: float | None) -> bool:
        """Counts the truth about the answer that a token is of; False, and nothing counted, when this token was
        counted before. Of an answer outside releases it is counted by version.

        Raises InvalidInput when there is neither `right` nor `reward`, or no use in the number.
        """
        ...

    async def feedback_outside(self) -> Mapping[ModelRef, FeedbackTotals]:
        """By version, what feedback said of answers outside releases."""
        ...

    async def keep_look(self, release: str, look: Look) -> None: ...

    async def keep_looks(self, looks: Mapping[str, Look]) -> None:
        """The same for many, at the cost of one."""
        ...

    async def looks(self, releases: Collection[str]) -> Mapping[str, Look]:
        """Without those that there are none of, or none that this version of the software can read."""
        ...

    async def add_point(self, release: str, point: Point) -> None:
        """Adds to the timeline; of more than MAX_POINTS the oldest are dropped."""
        ...

    async def points(self, release: str) -> tuple[Point, ...]:
        """The timeline, the oldest first."""
        ...

    async def forget(self, release: str) -> None:
        """Drops all of a release, but not that a token was counted."""
        ...

    async def close(self) -> None: ...


def check_feedback(right: bool | None, reward: float | None) -> None:
    """Raises InvalidInput."""
    if right is None and reward is None:
        raise InvalidInput("say whether the answer was right, or what it was worth", field="feedback_id")
    if reward is not None and not (math.isfinite(reward) and abs(reward) <= MAX_REWARD):
        raise InvalidInput(f"{reward} is no reward: use -{MAX_REWARD:,.0f} to {MAX_REWARD:,.0f}", field="reward")
