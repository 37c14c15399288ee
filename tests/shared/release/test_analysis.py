from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from services.shared.release.analysis import AnalysisState, Assessment, Case, assess, assess_many
from services.shared.release.arm_snapshot import ArmSnapshot
from services.shared.release.latency_histogram import LatencySnapshot
from services.shared.release.mean_evidence import Sample
from services.shared.release.observation import ArmTotals, Observation, StepTotals
from services.shared.release.plan import Guardrail
from services.shared.release.verdict import Outcome

ERRORS = Guardrail("error_rate", max_increase=0.005)
LATENCY = Guardrail("latency_p95", max_ratio=1.2)
DIFFERS = Guardrail("disagreement", max=0.02)
SHIFT = Guardrail("prediction_shift", max=0.1)
ACCURACY = Guardrail("accuracy", max_decrease=0.01)
REWARD = Guardrail("reward", max_decrease=0.1)
QUERY = Guardrail("promql", max_ratio=1.1, query="q", looks=3)


def arm(requests: int, failed: int = 0, **more: object) -> ArmTotals:
    latency = LatencySnapshot(tuple(requests - failed if bucket == 150 else 0 for bucket in range(333)), 0)
    snapshot = ArmSnapshot(requests=requests, errors={"x": failed}, latency=latency, classes={0: requests - failed})
    return replace(ArmTotals(snapshot), **more)  # type: ignore[arg-type]


def one(candidate: ArmTotals, stable: ArmTotals, **more: object) -> Observation:
    return Observation((StepTotals(0, stable, candidate, **more),), cells=(0, 1))  # type: ignore[arg-type]


def judged(observation: Observation, *guardrails: Guardrail) -> Assessment:
    return assess(observation, guardrails, AnalysisState())[0]


@pytest.mark.parametrize(
    ("candidate", "stable", "guardrail", "outcome", "words"),
    [
        (arm(500), arm(9500, 47), ERRORS, Outcome.PASS, "holds"),
        (arm(500, 100), arm(9500, 47), ERRORS, Outcome.FAIL, "candidate has 20 % of 500, stable 0.495 % of 9,500"),
        (arm(500, 6), arm(9500, 47), ERRORS, Outcome.INCONCLUSIVE, "it looks worse"),
        (arm(0), arm(9500, 47), ERRORS, Outcome.INCONCLUSIVE, "each arm needs 1"),
        (arm(500), arm(0), ERRORS, Outcome.INCONCLUSIVE, "each arm needs 1"),
        (arm(500), arm(9500), LATENCY, Outcome.PASS, "at most 1.2 times stable's"),
        (arm(500), arm(9500), SHIFT, Outcome.PASS, "0 % of the predictions moved"),
        (arm(500), arm(9500), DIFFERS, Outcome.PASS, "this step does not measure it"),
        (arm(500), arm(9500), ACCURACY, Outcome.INCONCLUSIVE, "each arm needs 20"),
        (arm(500, labelled=50, right=50), arm(9500, labelled=900, right=890), ACCURACY, Outcome.PASS, "holds"),
        (arm(500, labelled=50, right=40), arm(9500, labelled=900, right=890), ACCURACY, Outcome.INCONCLUSIVE, "worse"),
        (
            arm(500, reward=Sample(500, 100.0, 100.0)),
            arm(9500, reward=Sample(9500, 8000.0, 8000.0)),
            REWARD,
            Outcome.FAIL,
            "at most 0.1 below stable",
        ),
    ],
)
def test_a_guardrail_has_a_verdict_and_a_sentence_with_both_arms(
    candidate: ArmTotals, stable: ArmTotals, guardrail: Guardrail, outcome: Outcome, words: str
) -> None:
    assessment = judged(one(candidate, stable), guardrail)
    (finding,) = assessment.findings
    assert (finding.outcome, assessment.verdict.outcome) == (outcome, outcome)
    assert words in finding.sentence
    assert (finding.e_value >= finding.threshold) == (outcome is Outcome.FAIL)
    assert finding.guaranteed
    if outcome is not Outcome.PASS:
        assert finding.sentence in assessment.verdict.reason


@pytest.mark.parametrize(
    ("outcomes", "together"),
    [((0, 0), Outcome.PASS), ((0, 6), Outcome.INCONCLUSIVE), ((100, 0), Outcome.FAIL), ((100, 6), Outcome.FAIL)],
)
def test_one_fail_fails_and_a_pass_needs_all(outcomes: tuple[int, int], together: Outcome) -> None:
    failed, wrong = outcomes
    candidate = arm(500, failed, labelled=50, right=50 - wrong)
    stable = arm(9500, 40, labelled=50, right=50)
    assert judged(one(candidate, stable), ERRORS, ACCURACY).verdict.outcome is together


def test_too_few_requests_are_no_pass() -> None:
    verdict = judged(one(arm(99), arm(2000)), ERRORS).verdict
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert verdict.reason == "the candidate was asked 99 times of 100"


def test_without_guardrails_requests_are_enough() -> None:
    assert judged(one(arm(100), arm(2000))).verdict.outcome is Outcome.PASS


def test_with_a_wrong_split_nothing_passes() -> None:
    observation = one(arm(500), arm(500), shares=(0.95, 0.05), keys=(500.0, 500.0))
    assessment = judged(observation, ERRORS)
    assert assessment.findings[0].outcome is Outcome.PASS
    assert assessment.verdict.mismatch
    assert assessment.verdict.outcome is Outcome.INCONCLUSIVE
    assert "500, 500 keys for shares of 95 %, 5 %" in assessment.verdict.reason


def test_a_wrong_split_does_not_keep_a_candidate_that_fails() -> None:
    """Its errors may be why clients leave and keys are missing."""
    verdict = judged(one(arm(500, 400), arm(500), shares=(0.95, 0.05), keys=(500.0, 500.0)), ERRORS).verdict
    assert verdict.outcome is Outcome.FAIL
    assert not verdict.mismatch
    assert verdict.reason.startswith("error_rate")


def test_a_right_split_is_none() -> None:
    observation = one(arm(50), arm(950), shares=(0.95, 0.05), keys=(950.0, 50.0))
    assert not judged(observation, ERRORS).verdict.mismatch


def test_a_disagreement_is_judged_in_the_shadow() -> None:
    snapshot = ArmSnapshot(requests=200, compared=200, differing=30)
    observation = one(ArmTotals(snapshot), arm(2000), shadow=True)
    assessment = judged(observation, DIFFERS, ERRORS)
    assert [finding.outcome for finding in assessment.findings] == [Outcome.FAIL, Outcome.PASS]


def test_alpha_is_shared_by_the_statistical_guardrails_of_all_arms() -> None:
    observation = one(arm(500), arm(9500))
    assessment, _ = assess(observation, (ERRORS, SHIFT, QUERY), AnalysisState(), alpha=0.06, arms=3)
    assert [finding.threshold for finding in assessment.findings] == pytest.approx([100, 100, math.inf])


def test_many_are_assessed_as_each_alone() -> None:
    guardrails = (ERRORS, LATENCY, SHIFT, QUERY, REWARD)
    states = [AnalysisState(), AnalysisState()]
    for look in range(1, 5):
        seen = [one(arm(60 * look, bad * look), arm(950 * look, 4 * look)) for bad in (0, 9)]
        cases = [Case(seen[i], guardrails[: 5 - 3 * i], states[i], 0.05, 100, i + 1) for i in (0, 1)]
        many = assess_many(cases)
        alone = [assess(seen[i], guardrails[: 5 - 3 * i], states[i], alpha=0.05, arms=i + 1) for i in (0, 1)]
        assert [str(assessment) for assessment, _ in many] == [str(assessment) for assessment, _ in alone]
        states = [state for _, state in many]
    assert [assessment.verdict.outcome for assessment, _ in many] == [Outcome.INCONCLUSIVE, Outcome.FAIL]
    assert assess_many([]) == []


def test_predictions_that_nothing_is_known_of_are_no_pass() -> None:
    observation = Observation((StepTotals(0, arm(9500), arm(500)),))
    assert judged(observation, SHIFT).verdict.outcome is Outcome.INCONCLUSIVE


def test_a_failure_stays_one() -> None:
    failed, state = assess(one(arm(500, 100), arm(9500, 40)), (ERRORS,), AnalysisState())
    better, _ = assess(one(arm(9000, 100), arm(180_000, 700)), (ERRORS,), state)
    assert failed.verdict.outcome is better.verdict.outcome is Outcome.FAIL


@pytest.mark.parametrize(
    ("values", "outcomes"),
    [
        ((1.2, 1.2, 1.2), "iif"),
        ((1.2, 1.0, 1.2), "ipi"),
        ((1.2, math.nan, 1.2), "iii"),
        ((1.1, 1.1, 1.1), "ppp"),
    ],
)
def test_a_query_fails_after_so_many_looks_in_a_row_and_outside_the_guarantee(
    values: tuple[float, ...], outcomes: str
) -> None:
    state, seen = AnalysisState(), ""
    for value in values:
        observation = replace(one(arm(500), arm(9500)), queries={"q": (value, 1.0)})
        assessment, state = assess(observation, (QUERY,), state)
        seen += assessment.findings[0].outcome.value[0]
        assert not assessment.findings[0].guaranteed
        assert "outside the guarantee" in assessment.findings[0].sentence
    assert seen == outcomes


def test_a_controller_that_takes_over_goes_on_exactly() -> None:
    guardrails = (ERRORS, LATENCY, SHIFT, QUERY)
    kept = read = AnalysisState()
    for look in range(1, 6):
        observation = one(arm(50 * look, 2 * look), arm(950 * look, 4 * look))
        first, kept = assess(observation, guardrails, kept)
        second, read = assess(observation, guardrails, AnalysisState.from_json(json.loads(json.dumps(read.to_json()))))
        assert first == second or str(first) == str(second)  # NaN is not itself
    assert read == kept


@pytest.mark.parametrize("document", [{}, {"format": 2}, {"format": 1, "evidence": [1], "looks": []}])
def test_a_document_of_another_kind_is_refused(document: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="an analysis cannot be read"):
        AnalysisState.from_json(document)


def test_the_interval_holds_the_estimate_and_narrows() -> None:
    widths = []
    for times in (1, 10, 100):
        finding = judged(one(arm(100 * times, times), arm(1900 * times, 10 * times)), ERRORS).findings[0]
        low, high = finding.numbers.interval
        assert low < finding.numbers.estimate < high
        widths.append(high - low)
    assert widths == sorted(widths, reverse=True)
