from __future__ import annotations

from loadtests.assess_cost import GUARDRAILS, SECONDS, STEPS, looks, measure, rows
from services.shared.release.analysis import AnalysisState, assess
from services.shared.release.verdict import Outcome


def test_every_row_is_measured() -> None:
    measured = measure(1, 1)
    assert measured.keys() == rows().keys()
    assert all(len(pairs) == 1 and min(pairs[0]) > 0 for pairs in measured.values())


def test_the_release_that_is_measured_is_a_healthy_one_with_its_history() -> None:
    seen, state = list(looks(1)), AnalysisState()
    assert len(seen) == SECONDS * len(STEPS)
    for observation in seen:
        assessment, state = assess(observation, GUARDRAILS, state)
    assert [len(evidence.seen) for evidence in state.evidence] == [2, 2, 1, 3]
    assert assessment.verdict.outcome is not Outcome.FAIL
