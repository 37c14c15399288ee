"""One look at a release: every guardrail's verdict with its numbers, and what they say together. Pure.

The chance that a candidate no worse than every limit ever fails is `alpha` at most: it is shared out evenly among the
statistical guardrails of all arms, each guardrail's evidence is an e-process over the whole release, and a fail is an
e-value that once reached one over its share (Ville's inequality; the union bound over guardrails).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from services.shared.release.estimate import difference_of, log_evidence_below, numbers_of
from services.shared.release.finding import Finding, Numbers, excess, limit_in_words, limit_of, sentence
from services.shared.release.guardrail_evidence import Evidence, after_looks
from services.shared.release.metric_cells import ACCURACY, PREDICTION_SHIFT, REWARD, applies
from services.shared.release.observation import Observation, StepTotals
from services.shared.release.plan import ALPHA, MIN_REQUESTS, PROMQL, Guardrail
from services.shared.release.ratio_check import ALPHA as RATIO_ALPHA
from services.shared.release.ratio_check import log_average, log_ratio_evidence
from services.shared.release.verdict import Outcome, Verdict

MIN_LABELS = 20  # of either arm, before feedback lets a step pass
MIN_REWARDS = 100  # of either arm, before a mean is judged: its guarantee is asymptotic
_FORMAT = 1
_WITHOUT_BETS = frozenset({PROMQL, REWARD})  # a plain threshold, and an asymptotic test of means


@dataclass(frozen=True, slots=True)
class AnalysisState:
    """What one look leaves for the next: evidence of each guardrail in the plan's order, and for how many looks in a
    row each was beyond its plain threshold. Empty before the first look."""

    evidence: tuple[Evidence, ...] = ()
    looks: tuple[int, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {"format": _FORMAT, "evidence": [one.to_json() for one in self.evidence], "looks": list(self.looks)}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> AnalysisState:
        """Raises ValueError for a document that this version's `to_json` did not make."""
        try:
            if document["format"] != _FORMAT:
                raise ValueError(f"format {document['format']!r} is not {_FORMAT}")
            return cls(tuple(map(Evidence.from_json, document["evidence"])), tuple(map(int, document["looks"])))
        except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
            raise ValueError(f"an analysis cannot be read: {error!r}") from error


@dataclass(frozen=True, slots=True)
class Assessment:
    """`verdict` is all together; `ratio_evidence` is the e-value against the split of keys."""

    verdict: Verdict
    findings: tuple[Finding, ...]
    ratio_evidence: float = 1.0


@dataclass(frozen=True, slots=True)
class Case:
    """What a look at one candidate judges it by. Of several `arms` each is assessed by itself against stable, and gets
    its part of alpha. `intervals`: the numbers that are found have their intervals, on which no verdict rests.

    `before` is the observation that left `state`, where it is at hand: steps of which nothing is new cost less."""

    observation: Observation
    guardrails: Sequence[Guardrail]
    state: AnalysisState = field(default_factory=AnalysisState)
    alpha: float = ALPHA
    min_requests: int = MIN_REQUESTS
    arms: int = 1
    intervals: bool = True
    before: Observation | None = None

    @property
    def news(self) -> Observation:
        """Without the steps that `state` was made of as they are now."""
        now, before = self.observation, self.before
        if before is None or before.cells != now.cells:
            return now
        known = {totals.step: totals for totals in before.steps}
        return Observation(tuple(totals for totals in now.steps if known.get(totals.step) is not totals), now.cells)

    @property
    def share(self) -> float:
        """The part of alpha that each statistical guardrail has."""
        return self.alpha / max(sum(guardrail.statistical for guardrail in self.guardrails) * self.arms, 1)


def assess_many(cases: Sequence[Case]) -> list[tuple[Assessment, AnalysisState]]:
    """`assess` of each, in their order, for less: stakes are moved together."""
    before = [case.state.evidence or (Evidence(),) * len(case.guardrails) for case in cases]
    looked = [
        (evidence, guardrail, news)
        for case, kept in zip(cases, before, strict=True)
        for news in (case.news,)
        for evidence, guardrail in zip(kept, case.guardrails, strict=True)
        if guardrail.metric not in _WITHOUT_BETS
    ]
    after = iter(after_looks(looked))
    return [
        _assessed(
            case,
            [next(after) if g.metric not in _WITHOUT_BETS else e for e, g in zip(kept, case.guardrails, strict=True)],
        )
        for case, kept in zip(cases, before, strict=True)
    ]


def assess(
    observation: Observation,
    guardrails: Sequence[Guardrail],
    state: AnalysisState,
    *,
    alpha: float = ALPHA,
    min_requests: int = MIN_REQUESTS,
    arms: int = 1,
) -> tuple[Assessment, AnalysisState]:
    """One candidate against stable."""
    return assess_many([Case(observation, guardrails, state, alpha, min_requests, arms)])[0]


def _assessed(case: Case, evidence: Sequence[Evidence]) -> tuple[Assessment, AnalysisState]:
    """The judgement, with each guardrail's evidence after the look."""
    looks = case.state.looks or (0,) * len(case.guardrails)
    share = case.share
    judged = [
        _judge(guardrail, case, known, streak, share)
        for guardrail, known, streak in zip(case.guardrails, evidence, looks, strict=True)
    ]
    findings = tuple(finding for finding, _, _ in judged)
    ratio = ratio_evidence(case.observation)
    verdict = _together(case.observation, findings, ratio, case.min_requests)
    after = AnalysisState(tuple(known for _, known, _ in judged), tuple(streak for _, _, streak in judged))
    return Assessment(verdict, findings, _exp(ratio)), after


def ratio_evidence(observation: Observation) -> float:
    """The logarithm of the e-value against the intended split of keys, over all steps that split them."""
    return log_average([log_ratio_evidence(step.keys, step.shares) for step in observation.steps if step.keys])


def _together(observation: Observation, findings: Sequence[Finding], ratio: float, min_requests: int) -> Verdict:
    """One fail is a fail, and a pass needs all. A wrong split makes comparing meaningless, so that nothing passes; but
    it takes no rollback back: a candidate that fails may be why keys are missing."""
    failed = [finding.sentence for finding in findings if finding.outcome is Outcome.FAIL]
    if failed:
        return Verdict(Outcome.FAIL, "; ".join(failed))
    if ratio >= math.log(1 / RATIO_ALPHA):
        step = observation.current
        return Verdict(
            Outcome.INCONCLUSIVE,
            f"the arms did not get the keys they were to have: {', '.join(f'{key:,.0f}' for key in step.keys)} keys "
            f"for shares of {', '.join(f'{100 * share:g} %' for share in step.shares)} (e-value {_exp(ratio):,.3g})",
            mismatch=True,
        )
    unclear = [finding.sentence for finding in findings if finding.outcome is Outcome.INCONCLUSIVE]
    if unclear:
        return Verdict(Outcome.INCONCLUSIVE, "; ".join(unclear))
    answered = observation.current.candidate.snapshot.requests
    if answered < min_requests:
        return Verdict(Outcome.INCONCLUSIVE, f"the candidate was asked {answered:,} times of {min_requests:,}")
    return Verdict(Outcome.PASS, f"no limit is exceeded after {answered:,} requests in this step")


def numbers_of_all(case: Case) -> list[Numbers]:
    """Of each guardrail, in their order, with its interval."""
    share = case.share
    return [_numbers(guardrail, case.observation, share, interval=True) for guardrail in case.guardrails]


def _numbers(guardrail: Guardrail, observation: Observation, alpha: float, *, interval: bool) -> Numbers:
    if guardrail.metric == PROMQL:
        return Numbers(*observation.queries.get(guardrail.query, (math.nan, math.nan)))
    steps = [step for step in observation.steps if applies(guardrail.metric, step)]
    return numbers_of(guardrail, steps, observation.cells, alpha, interval=interval)


def _judge(
    guardrail: Guardrail, case: Case, evidence: Evidence, streak: int, alpha: float
) -> tuple[Finding, Evidence, int]:
    observation = case.observation
    numbers = _numbers(guardrail, observation, alpha, interval=case.intervals)
    if guardrail.metric == PROMQL:
        finding, streak = _judge_query(guardrail, numbers, streak)
        return finding, evidence, streak
    if guardrail.metric == REWARD:
        log_e = _reward_evidence(guardrail, [s for s in observation.steps if applies(REWARD, s)], alpha)
        evidence = Evidence(peak=max(evidence.peak, log_e), now=log_e)
    threshold = 1 / alpha
    outcome, why = _outcome(guardrail, observation, numbers, evidence.peak, alpha)
    said = sentence(guardrail, outcome, numbers, why)
    limit = limit_in_words(guardrail)
    return Finding(guardrail.metric, limit, outcome, said, numbers, _exp(evidence.peak), threshold), evidence, streak


def _outcome(
    guardrail: Guardrail, observation: Observation, numbers: Numbers, log_e: float, alpha: float
) -> tuple[Outcome, str]:
    """Evidence first, then whether the step says anything, then whether it says enough, then how it looks."""
    if log_e >= math.log(1 / alpha):
        return Outcome.FAIL, f"the evidence is {_exp(log_e):,.3g}, where {1 / alpha:,.0f} are enough"
    if not applies(guardrail.metric, observation.current):
        return Outcome.PASS, "this step does not measure it"
    absolute = limit_of(guardrail)[0] == "max" and guardrail.metric != PREDICTION_SHIFT
    least = numbers.count_c if absolute else min(numbers.count_c, numbers.count_s)
    needed = MIN_LABELS if guardrail.metric in (ACCURACY, REWARD) else 1
    if least < needed:
        return Outcome.INCONCLUSIVE, f"each arm needs {needed} of them"
    shift = guardrail.metric == PREDICTION_SHIFT
    beyond = excess(guardrail, numbers.estimate if shift else numbers.candidate, numbers.stable)
    if not beyond <= 0:
        return Outcome.INCONCLUSIVE, f"it looks worse, but the evidence is {_exp(log_e):,.3g} of {1 / alpha:,.0f}"
    return Outcome.PASS, f"the evidence against it is {_exp(log_e):,.3g} of {1 / alpha:,.0f}"


def _judge_query(guardrail: Guardrail, numbers: Numbers, streak: int) -> tuple[Finding, int]:
    """A plain threshold: a fail when it is exceeded at `looks` looks in a row."""
    candidate, stable = numbers.candidate, numbers.stable
    needs_stable = limit_of(guardrail)[0] != "max"
    known = math.isfinite(candidate) and (math.isfinite(stable) or not needs_stable)
    beyond = known and excess(guardrail, candidate, stable) > 0
    streak = streak + 1 if beyond else 0
    outcome = Outcome.PASS if known and not beyond else Outcome.INCONCLUSIVE
    if streak >= guardrail.looks:
        outcome = Outcome.FAIL
    why = f"{streak} of {guardrail.looks} looks in a row beyond it" if known else "the query has no answer"
    verb = {Outcome.PASS: "holds", Outcome.FAIL: "is broken", Outcome.INCONCLUSIVE: "is open"}[outcome]
    both = f"candidate {candidate:.4g}" + (f", stable {stable:.4g}" if needs_stable else "")
    said = f"{guardrail.query}, {limit_in_words(guardrail)}, {verb}: {both}; {why} (outside the guarantee of alpha)"
    limit = limit_in_words(guardrail)
    return Finding(PROMQL, limit, outcome, said, numbers, guaranteed=False), streak


def _reward_evidence(guardrail: Guardrail, steps: Sequence[StepTotals], alpha: float) -> float:
    """The logarithm of the e-value that the mean reward is more than max_decrease below stable's."""
    for arm in ("candidate", "stable"):
        if sum(getattr(step, arm).reward.count for step in steps) < MIN_REWARDS:
            return 0.0
    return log_evidence_below(difference_of(REWARD, steps), -limit_of(guardrail)[1], alpha)


def _exp(log_e: float) -> float:
    return math.exp(min(log_e, 700.0))
