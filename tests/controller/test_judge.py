"""What several arms say together, and that an answer is looked at once."""

from __future__ import annotations

import pytest

from services.controller.judge import Question, judge_many, together
from services.shared.release.analysis import AnalysisState
from services.shared.release.arm_snapshot import ArmSnapshot
from services.shared.release.observation import ArmTotals, Observation, StepTotals
from services.shared.release.verdict import Outcome, Verdict
from tests.support.release_plans import ab, canary
from tests.support.release_states import AT_5, COMPARING

GOOD, OPEN = Verdict(Outcome.PASS, "good"), Verdict(Outcome.INCONCLUSIVE, "open")
BAD, MIXED = Verdict(Outcome.FAIL, "bad"), Verdict(Outcome.INCONCLUSIVE, "mixed up", mismatch=True)


@pytest.mark.parametrize(
    ("verdicts", "said"),
    [
        ([GOOD], GOOD),
        ([MIXED], MIXED),
        ([GOOD, GOOD], Verdict(Outcome.PASS, "a: good; b: good")),
        ([GOOD, OPEN], Verdict(Outcome.INCONCLUSIVE, "b: open")),
        ([BAD, OPEN], Verdict(Outcome.FAIL, "a: bad")),
        ([BAD, BAD], Verdict(Outcome.FAIL, "a: bad; b: bad")),
        ([BAD, MIXED], Verdict(Outcome.FAIL, "a: bad")),
        ([GOOD, MIXED], MIXED),
        ([OPEN, MIXED], MIXED),
    ],
)
def test_one_arm_that_fails_fails_all_and_all_must_pass(verdicts: list[Verdict], said: Verdict) -> None:
    assert together(["a", "b"][: len(verdicts)], verdicts) == said


Q = 'x{arm="$arm"}'
QUERY = {"metric": "promql", "query": Q, "max": 1.0, "looks": 3}
PLAN = canary(guardrails=[QUERY])


def looked(value: float, state: AnalysisState, *, new: bool = True) -> tuple[Outcome, AnalysisState]:
    many = ArmTotals(ArmSnapshot(requests=500))
    observation = Observation((StepTotals(1, many, many),), queries={Q: (value, 0.0)})
    [judgement] = judge_many([Question(PLAN, AT_5, [observation], [state], new)])
    return judgement.verdict.outcome, judgement.analyses[0]


def test_the_same_answer_again_is_no_further_look() -> None:
    outcome, state = looked(2.0, AnalysisState())
    for _ in range(5):
        outcome, again = looked(2.0, state, new=False)
        assert (outcome, again.looks) == (Outcome.INCONCLUSIVE, state.looks) or outcome is not Outcome.FAIL
        assert again.looks == (1,)
    _, state = looked(2.0, state)
    outcome, state = looked(2.0, state)
    assert (outcome, state.looks) == (Outcome.FAIL, (3,))
    assert looked(2.0, state, new=False)[0] is Outcome.FAIL
    outcome, state = looked(0.5, state)
    assert (outcome, state.looks) == (Outcome.PASS, (0,))


def test_each_arm_is_judged_by_its_own_share_of_alpha_and_each_question_by_itself() -> None:
    plan = ab(guardrails=[{"metric": "error_rate", "max_increase": 0.005}])
    good, bad = (ArmTotals(ArmSnapshot(requests=1000, errors={"x": failed})) for failed in (0, 300))
    arms = [Observation((StepTotals(0, good, arm),)) for arm in (good, bad)]
    one = Question(plan, COMPARING, arms, [AnalysisState()] * 2)
    other = Question(canary(guardrails=[QUERY]), AT_5, arms[:1], [AnalysisState()])
    first, second = judge_many([one, other])
    assert first.verdict.outcome is Outcome.FAIL
    assert first.verdict.reason.startswith("big: error_rate")
    assert [finding.threshold for arm in first.assessments for finding in arm.findings] == [40.0, 40.0]
    assert first.outcomes == (Outcome.FAIL, Outcome.PASS, Outcome.FAIL)
    assert second.verdict.outcome is Outcome.INCONCLUSIVE
    assert judge_many([]) == []
