"""What arms of releases did, for tests."""

from __future__ import annotations

from services.shared.feedback import FeedbackClaim
from services.shared.model_ref import ModelRef
from services.shared.observations.base import Look, Point, PointArm
from services.shared.release.analysis import AnalysisState
from services.shared.release.arm_counters import ArmCounters
from services.shared.release.arm_snapshot import ArmSnapshot
from services.shared.release.release_counters import ArmKey, ReleaseSnapshot

STABLE, CANDIDATE = ArmKey("r-1", 1, "stable"), ArmKey("r-1", 1, "candidate")
OTHER = ArmKey("r-2", 0, "stable")


def counted(answers: int = 0, errors: int = 0, waiting: int = 0) -> ArmSnapshot:
    """So many answers of 2 ms with class 3, so many errors, so many still in flight."""
    counters = ArmCounters((3, 5))
    for _ in range(answers + errors + waiting):
        counters.begin()
    for number in range(answers):
        counters.observe(0.002, number * 7919 % 2**64, 3, 0.75)
    for number in range(errors):
        counters.observe_error("InferenceFailed", number)
    return counters.snapshot()


def totals(**arms: ArmSnapshot) -> ReleaseSnapshot:
    """Of `stable` and `candidate` of r-1 at step 1, and of `other`, r-2's stable at step 0."""
    keys = {"stable": STABLE, "candidate": CANDIDATE, "other": OTHER}
    return ReleaseSnapshot({keys[name]: arm for name, arm in arms.items()})


def claim(release: str = "r-1", arm: str = "candidate", step: int = 1) -> FeedbackClaim:
    return FeedbackClaim(ModelRef("digits", 2), arm, 3, 1_700_000_000, release, step)


def look(at: float = 5.0) -> Look:
    return Look(at, (AnalysisState(looks=(1, 0)), AnalysisState()), {"model": "digits", "arms": [{"arm": "stable"}]})


def point(at: float) -> Point:
    arms = {"stable": PointArm(20, 1, 2.0, 3.5, 4.0), "candidate": PointArm(3, 0, 1.0, 1.5, 1.5)}
    return Point(at, 1, "progressing", {"candidate": 5.0}, arms)
