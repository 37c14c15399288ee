"""What a leader remembers of a release between two looks. All of it may be lost: another one begins with what the last
kept look left, and sees again what is missing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from services.controller.judge import Judgement
from services.controller.observe import Keys, keys_by_step
from services.controller.timeline import Counted
from services.shared.observations.base import Evidence, Look
from services.shared.release.analysis import AnalysisState
from services.shared.release.distinct_keys import DistinctKeysSnapshot
from services.shared.release.plan import PROMQL, Plan
from services.shared.release.state import ReleaseState, counted_step
from services.shared.release.verdict import Verdict

KEYS_S = 5.0  # a count of keys costs a twentieth of a millisecond, and is good for so long


@dataclass(slots=True)
class Remembered:
    """Times in monotonic seconds.

    `judgement` is the last, made of `evidence` at `place` (`place_of`) with the queries' answers of round `answers`.
    `asked`: how many requests there were, since `asked_at`. `report`, `told` (what it was made of) and `kept_at` are of
    the look that was kept last; `counted`, `point_told` and `point_at` of the timeline's last point.
    """

    judgement: Judgement
    report: Mapping[str, Any]
    asked: int
    asked_at: float
    evidence: Evidence | None = None
    place: tuple[object, ...] = ()
    answers: int = 0
    told: tuple[object, ...] = ()
    kept_at: float = float("-inf")
    counted: Mapping[str, Counted] | None = None
    point_told: tuple[object, ...] = ()
    point_at: float = float("-inf")
    keys: Keys = field(default_factory=dict)
    keys_place: tuple[object, ...] = ()
    keys_at: float = float("-inf")

    @classmethod
    def of(cls, plan: Plan, look: Look | None, now: float) -> Remembered:
        """`look` is the last that was kept; one of another shape is none."""
        if look is None or len(look.analyses) != len(plan.arms):
            return cls(Judgement(Verdict(), (AnalysisState(),) * len(plan.arms)), {}, asked=-1, asked_at=now)
        return cls(Judgement(Verdict(), look.analyses), look.report, asked=-1, asked_at=now)

    def is_judged(self, plan: Plan, state: ReleaseState, evidence: Evidence, answers: int) -> bool:
        """Whether the judgement would be the same again: nothing in it depends on time."""
        same_answers = answers == self.answers or not any(each.metric == PROMQL for each in plan.guardrails)
        return evidence is self.evidence and place_of(plan, state) == self.place and same_answers

    def idle_s(self, evidence: Evidence, now: float) -> float:
        """For how long nothing was asked of any arm, as far as this leader has seen."""
        asked = sum(snapshot.requests for snapshot in evidence.totals.arms.values())
        if asked != self.asked:
            self.asked, self.asked_at = asked, now
        return now - self.asked_at

    def keys_of(self, plan: Plan, state: ReleaseState, evidence: Evidence, now: float) -> Keys:
        """Counted anew when that was long enough ago, or the release is elsewhere now. The check of the split may be
        made at any time, so that it is made less often harms nothing."""
        place = place_of(plan, state)
        if place != self.keys_place or now - self.keys_at >= KEYS_S:
            self.keys = keys_by_step(plan, state, evidence, DistinctKeysSnapshot.estimate)
            self.keys_place, self.keys_at = place, now
        return self.keys


def place_of(plan: Plan, state: ReleaseState) -> tuple[object, ...]:
    """What of a state a judgement depends on."""
    return counted_step(plan, state), state.step, state.cells
