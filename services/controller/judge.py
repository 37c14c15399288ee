"""What all arms of a release say together. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from services.shared.release.analysis import AnalysisState, Assessment, Case, assess_many
from services.shared.release.observation import Observation
from services.shared.release.plan import MIN_REQUESTS, PROMQL, Plan
from services.shared.release.state import ReleaseState
from services.shared.release.verdict import Outcome, Verdict


@dataclass(frozen=True, slots=True)
class Question:
    """A release to be judged: for each arm, in the plan's order, an observation and what the last look left.

    `new_answers`: the observations' queries were answered anew. The same answer again is no further look, however often
    a release is looked at: `looks` in a row are of answers. `before` are the observations that the last look was at,
    where they are remembered.
    """

    plan: Plan
    state: ReleaseState
    observations: Sequence[Observation]
    analyses: Sequence[AnalysisState]
    new_answers: bool = True
    before: Sequence[Observation] = ()


@dataclass(frozen=True, slots=True)
class Judgement:
    """`assessments` and `analyses` (what a look leaves for the next) are of each arm in the plan's order; no assessment
    before the first look."""

    verdict: Verdict
    analyses: tuple[AnalysisState, ...]
    observations: tuple[Observation, ...] = ()
    assessments: tuple[Assessment, ...] = ()

    @property
    def outcomes(self) -> tuple[Outcome, ...]:
        """What changes when there is news: the verdict's and every guardrail's."""
        return (self.verdict.outcome, *(each.outcome for arm in self.assessments for each in arm.findings))


def judge_many(questions: Sequence[Question]) -> list[Judgement]:
    """Of each, in their order; together they cost less than one by one. Intervals are made when they are shown."""
    answers = iter(assess_many([case for question in questions for case in _cases(question)]))
    found = []
    for question in questions:
        each = [next(answers) for _ in question.observations]
        assessments = tuple(assessment for assessment, _ in each)
        arms = tuple(arm.name for arm in question.plan.arms)
        verdict = together(arms, tuple(assessment.verdict for assessment in assessments))
        analyses = tuple(analysis for _, analysis in each)
        found.append(Judgement(verdict, analyses, tuple(question.observations), assessments))
    return found


def together(arms: Sequence[str], verdicts: Sequence[Verdict]) -> Verdict:
    """One arm that fails fails the release; a mismatch, which is of all arms, lets none pass; it passes when every arm
    does."""
    if len(verdicts) == 1:
        return verdicts[0]
    for outcome in (Outcome.FAIL, Outcome.INCONCLUSIVE, Outcome.PASS):
        named = [(arm, each) for arm, each in zip(arms, verdicts, strict=True) if each.outcome is outcome]
        for _, each in named:
            if each.mismatch:
                return each
        if named:
            return Verdict(outcome, "; ".join(f"{arm}: {each.reason}" for arm, each in named))
    return Verdict()


def _cases(question: Question) -> list[Case]:
    plan, step = question.plan, question.state.step
    least = plan.steps[step].min_requests if step < len(plan.steps) else MIN_REQUESTS
    last = question.before or (None,) * len(question.observations)
    return [
        Case(
            observation,
            plan.guardrails,
            analysis if question.new_answers else _once_less(plan, analysis),
            plan.alpha,
            least,
            len(plan.arms),
            intervals=False,
            before=before,
        )
        for observation, analysis, before in zip(question.observations, question.analyses, last, strict=True)
    ]


def _once_less(plan: Plan, analysis: AnalysisState) -> AnalysisState:
    """The analysis before the last look at the queries' answers: looking at these again gives the same."""
    if not any(guardrail.metric == PROMQL for guardrail in plan.guardrails):
        return analysis
    return replace(analysis, looks=tuple(max(looks - 1, 0) for looks in analysis.looks))
