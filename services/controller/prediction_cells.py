"""Which classes a release counts apart: stable's most frequent ones, chosen once. Pure.

They are chosen from answers that are no evidence. Those of the time before anybody is let in are none anyway; but where
these are too few, what was counted in a step is used, and is then left out of the evidence of prediction_shift: chosen
cells are the ones that stable happened to answer most, and held against the same answers they would find a difference
between two equal arms. Until they are chosen the metric is not known, and no step passes without it.
"""

from __future__ import annotations

from collections.abc import Sequence

from services.shared.observations.base import Evidence
from services.shared.release.analysis import AnalysisState
from services.shared.release.arm_snapshot import ArmSnapshot
from services.shared.release.guardrail_evidence import Evidence as GuardrailEvidence
from services.shared.release.metric_cells import PREDICTION_SHIFT, cells_of
from services.shared.release.observation import Observation
from services.shared.release.plan import Guardrail
from services.shared.release.routing import STABLE

CELLS = 10
LEAST_ANSWERS = 100  # of stable, before its frequent classes are known


def choose_cells(evidence: Evidence) -> tuple[int, ...]:
    """Empty while stable has not answered enough."""
    stable = ArmSnapshot()
    for key, snapshot in evidence.totals.arms.items():
        if key.arm == STABLE:
            counted = ArmSnapshot(classes=snapshot.classes, other_classes=snapshot.other_classes)
            stable = stable.merge(counted)
    return stable.most_frequent(CELLS) if stable.classified >= LEAST_ANSWERS else ()


def counting_from_now(
    analysis: AnalysisState, guardrails: Sequence[Guardrail], observation: Observation | None
) -> AnalysisState:
    """The analysis of one arm for which what was predicted until now is no evidence. `observation` has the chosen cells
    and the predictions; None where nobody was let in yet."""
    if observation is None or not any(guardrail.metric == PREDICTION_SHIFT for guardrail in guardrails):
        return analysis
    cells, seen = observation.cells, []
    for totals in observation.steps:
        candidate, stable = (cells_of(PREDICTION_SHIFT, arm, cells) for arm in (totals.candidate, totals.stable))
        seen.append((totals.step, candidate, stable))
    known = analysis.evidence or (GuardrailEvidence(),) * len(guardrails)
    evidence = tuple(
        GuardrailEvidence(seen=tuple(seen)) if guardrail.metric == PREDICTION_SHIFT else one
        for guardrail, one in zip(guardrails, known, strict=True)
    )
    return AnalysisState(evidence, analysis.looks or (0,) * len(guardrails))
