"""Which classes are counted apart, and that choosing them is no evidence."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from services.controller.prediction_cells import LEAST_ANSWERS, choose_cells, counting_from_now
from services.shared.observations.base import Evidence
from services.shared.release.analysis import AnalysisState, assess
from services.shared.release.arm_snapshot import ArmSnapshot
from services.shared.release.observation import ArmTotals, Observation, StepTotals
from services.shared.release.plan import Guardrail
from services.shared.release.release_counters import ArmKey, ReleaseSnapshot
from services.shared.release.state import Phase
from tests.support.controller_bench import Bench
from tests.support.release_plans import CANDIDATE, STABLE, canary

SHIFT, ERRORS = Guardrail("prediction_shift", max=0.05), Guardrail("error_rate", max_increase=0.01)


def answered(**by_arm: dict[int, int]) -> Evidence:
    arms = {
        ArmKey("r-1", step, name.rstrip("_")): ArmSnapshot(requests=sum(classes.values()), classes=classes)
        for step, (name, classes) in enumerate(by_arm.items())
    }
    return Evidence(ReleaseSnapshot(arms))


def test_they_are_stables_most_frequent_over_all_steps() -> None:
    assert choose_cells(answered(stable={7: LEAST_ANSWERS - 1}, candidate={1: 500})) == ()
    assert choose_cells(answered(stable={7: 40, 2: 20}, stable_={2: 30, 9: 10})) == (2, 7, 9)
    assert choose_cells(answered(stable={index: 100 - index for index in range(50)})) == tuple(range(10))
    assert choose_cells(Evidence()) == ()


def observation(rng: np.random.Generator, answers: int, cells: tuple[int, ...] = ()) -> Observation:
    """Two equal arms, both of a thousand classes, none more frequent than the others."""

    def arm(count: int) -> ArmTotals:
        found, counts = np.unique(rng.integers(0, 1000, count), return_counts=True)
        classes = dict(zip(found.tolist(), counts.tolist(), strict=True))
        return ArmTotals(ArmSnapshot(requests=count, classes=classes))

    return Observation((StepTotals(0, arm(answers), arm(answers)),), cells)


def grown(one: Observation, more: Observation, cells: tuple[int, ...]) -> Observation:
    [first], [second] = one.steps, more.steps
    both = {
        name: ArmTotals(getattr(first, name).snapshot.merge(getattr(second, name).snapshot))
        for name in ("stable", "candidate")
    }
    return Observation((StepTotals(0, both["stable"], both["candidate"]),), cells)


def test_what_they_were_chosen_from_is_no_evidence() -> None:
    rng = np.random.default_rng(7)
    for _ in range(20):
        first, more = observation(rng, 100), observation(rng, 400)
        cells = first.current.stable.snapshot.most_frequent(10)
        named, later = replace(first, cells=cells), grown(first, more, cells)
        _, all_of_it = assess(later, [SHIFT], AnalysisState())
        _, after = assess(later, [SHIFT], counting_from_now(AnalysisState(), [SHIFT], named))
        assert [sum(counts) for counts in all_of_it.evidence[0].past] == [500, 500]
        assert [sum(counts) for counts in after.evidence[0].past] == [400, 400]
        assert after.evidence[0].peak < np.log(20)  # the arms are equal


def test_the_evidence_of_other_guardrails_stays() -> None:
    rng = np.random.default_rng(7)
    first = observation(rng, 100, (1, 2))
    _, before = assess(first, [ERRORS, SHIFT], AnalysisState())
    after = counting_from_now(before, [ERRORS, SHIFT], first)
    assert after.evidence[0] == before.evidence[0]
    assert after.evidence[1].seen[0][0] == 0
    assert after.evidence[1].peak == 0.0
    assert counting_from_now(before, [ERRORS], first) is before
    assert counting_from_now(before, [ERRORS, SHIFT], None) is before
    again, kept = assess(first, [ERRORS, SHIFT], after)
    assert kept.evidence[1].peak == 0.0  # nothing new came
    assert again.findings[1].numbers.count_c == 100


@pytest.mark.parametrize("warms_up", [True, False], ids=["before anybody is let in", "in the first step"])
async def test_a_release_gets_its_cells_and_is_not_judged_by_them_before(bench: Bench, warms_up: bool) -> None:
    plan = canary(
        guardrails=[{"metric": "prediction_shift", "max": 0.05}], steps=[{"weight": 50, "for": "3s"}], hold="1s"
    )
    await bench.begin(plan)
    if warms_up:
        await bench.api.serve("digits", 200)
    while not (await bench.state()).cells:
        before = await bench.state()
        await bench.second(60 if warms_up else 20)
    assert before.phase is (Phase.PENDING if warms_up else Phase.PROGRESSING)
    assert sorted((await bench.state()).cells) == list(range(10))
    [analysis] = (await bench.observations.looks(["r-1"]))["r-1"].analyses
    assert [step for step, _, _ in analysis.evidence[0].seen] if not warms_up else not analysis.evidence
    bench.api.classes = {STABLE: 3, CANDIDATE: 3}
    await bench.seconds_until(Phase.PROMOTED)
