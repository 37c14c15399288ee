from __future__ import annotations

import json

import numpy as np
import pytest

from services.shared.release.arm_snapshot import ArmSnapshot
from services.shared.release.block_bets import line_of
from services.shared.release.guardrail_evidence import (
    ALONE_AFTER,
    LEAST_IN_BLOCK,
    WINDOW,
    Evidence,
    after_look,
    after_looks,
)
from services.shared.release.latency_histogram import BUCKETS, LatencySnapshot
from services.shared.release.observation import ArmTotals, Observation, StepTotals
from services.shared.release.plan import Guardrail
from services.shared.release.rate_evidence import Block, Line, after_block, first_stakes, log_evidence

ERRORS = Guardrail("error_rate", max_increase=0.005)
LATENCY = Guardrail("latency_p95", max_ratio=1.2)
SHIFT = Guardrail("prediction_shift", max=0.1)


def failing(requests: int, failed: int) -> ArmTotals:
    return ArmTotals(ArmSnapshot(requests=requests, errors={"InferenceFailed": failed}))


def look(*steps: tuple[ArmTotals, ArmTotals]) -> Observation:
    """One look at steps of (candidate, stable)."""
    return Observation(tuple(StepTotals(index, s, c) for index, (c, s) in enumerate(steps)), cells=(0, 1))


@pytest.mark.parametrize(
    ("guardrail", "line"),
    [
        (ERRORS, Line(1, 0.005)),
        (Guardrail("disagreement", max=0.02), Line(0, 0.02)),
        (Guardrail("accuracy", max_decrease=0.01), Line(1, 0.01)),
        (SHIFT, Line(1, 0.1)),
        (Guardrail("error_rate", max_increase=0.0), Line(1, 0.0)),
    ],
)
def test_a_guardrails_limit_is_a_line(guardrail: Guardrail, line: Line) -> None:
    assert line_of(guardrail) == line


def test_the_first_block_bets_on_what_is_usual_of_errors() -> None:
    evidence = after_look(Evidence(), ERRORS, look((failing(10, 4), failing(190, 1))))
    block = Block(np.array(10), np.array(4), np.array(190), np.array(1))
    alone = after_block(first_stakes(), block, np.array(0.005), Line(1, 0.005))
    assert evidence.now == pytest.approx(float(log_evidence(alone)))


def test_few_answers_wait_until_they_are_a_block() -> None:
    few = LEAST_IN_BLOCK - 1
    waiting = after_look(Evidence(), ERRORS, look((failing(few, few), failing(1000, 0))))
    assert waiting == Evidence()
    assert after_look(waiting, ERRORS, look((failing(few + 1, few + 1), failing(1000, 0)))).peak > 1


def test_nothing_new_changes_nothing() -> None:
    seen = look((failing(50, 5), failing(900, 4)))
    evidence = after_look(Evidence(), ERRORS, seen)
    assert after_look(evidence, ERRORS, seen) == evidence


def test_many_guardrails_of_many_releases_are_moved_as_each_alone() -> None:
    one, other = (
        look((failing(50, 5), failing(900, 4))),
        look((failing(80, 0), failing(900, 4)), (failing(9, 2), failing(9, 0))),
    )
    looked = [
        (Evidence(), ERRORS, one),
        (Evidence(), SHIFT, one),
        (Evidence(), ERRORS, other),
        (Evidence(), ERRORS, look()),
    ]
    together = after_looks(looked)
    for evidence, (before, guardrail, seen) in zip(together, looked, strict=True):
        alone = after_look(before, guardrail, seen)
        assert evidence.seen == alone.seen
        assert len(evidence.stakes) == len(alone.stakes)
        for stakes, others in zip(evidence.stakes, alone.stakes, strict=True):
            assert stakes == pytest.approx(others)
    assert together[2].now != together[0].now > 0 == together[3].now


def test_predictions_are_not_judged_while_it_is_not_known_what_to_count_them_by() -> None:
    answers = ArmTotals(ArmSnapshot(requests=90, classes={0: 90}))
    observation = Observation((StepTotals(0, answers, answers),))
    assert after_look(Evidence(), SHIFT, observation) == Evidence()


def test_a_step_goes_on_from_the_evidence_of_the_one_before() -> None:
    first = (failing(50, 5), failing(900, 4))
    evidence = after_look(Evidence(), ERRORS, look(first))
    both = after_look(evidence, ERRORS, look(first, (failing(50, 5), failing(50, 0))))
    assert both.now > evidence.now > 0
    assert [step for step, _, _ in both.seen] == [0, 1]


def test_who_answers_everything_is_held_against_what_stable_was_before() -> None:
    step = (failing(500, 5), failing(9500, 95))
    before = after_look(Evidence(), ERRORS, look(step))
    few = after_look(before, ERRORS, look(step, (failing(ALONE_AFTER - 1, ALONE_AFTER - 1), failing(0, 0))))
    assert few == before  # stable may be about to answer
    found = after_look(before, ERRORS, look(step, (failing(ALONE_AFTER, ALONE_AFTER), failing(0, 0))))
    assert found.peak > 20
    as_before = after_look(before, ERRORS, look(step, (failing(2000, 20), failing(0, 0))))
    assert as_before.peak == before.peak
    slower = after_look(Evidence(), LATENCY, look((failing(2000, 0), failing(0, 0))))
    assert slower == Evidence()


def test_without_a_stable_that_answered_only_what_fails_more_often_than_not_is_taken_back() -> None:
    assert after_look(Evidence(), ERRORS, look((failing(200, 90), failing(0, 0)))).peak == 0
    assert after_look(Evidence(), ERRORS, look((failing(200, 180), failing(0, 0)))).peak > 20


def test_who_answers_everything_and_is_at_the_limit_is_seldom_taken_back() -> None:
    rng, alpha, runs, taken_back = np.random.default_rng(3), 0.05, 200, 0
    for _ in range(runs):
        step = (failing(200, int(rng.binomial(200, 0.025))), failing(3800, int(rng.binomial(3800, 0.02))))
        evidence, requests, failed = after_look(Evidence(), ERRORS, look(step)), 0, 0
        for _ in range(30):
            requests, failed = requests + 100, failed + int(rng.binomial(100, 0.025))
            evidence = after_look(evidence, ERRORS, look(step, (failing(requests, failed), failing(0, 0))))
        taken_back += evidence.peak >= np.log(1 / alpha)
    assert taken_back <= alpha * runs


def test_weights_are_never_pooled() -> None:
    """Simpson's paradox: in each step both arms have one error rate, and most of the candidate is in the bad one."""
    quiet, busy = (failing(100, 1), failing(1900, 19)), (failing(1000, 200), failing(1000, 200))
    evidence = after_look(after_look(Evidence(), ERRORS, look(quiet)), ERRORS, look(quiet, busy))
    assert evidence.peak < 1
    pooled = after_look(
        after_look(Evidence(), ERRORS, look(quiet)), ERRORS, look((failing(1100, 201), failing(2900, 219)))
    )
    assert pooled.seen[0][1] == (899, 201)


def test_totals_that_shrink_are_begun_anew() -> None:
    evidence = after_look(Evidence(), ERRORS, look((failing(50, 1), failing(900, 4))))
    lost = after_look(evidence, ERRORS, look((failing(20, 1), failing(500, 2))))
    assert lost.now == evidence.now
    assert after_look(lost, ERRORS, look((failing(40, 15), failing(600, 2)))).now > evidence.now


def test_shadow_steps_are_no_evidence_about_errors_and_live_ones_none_about_disagreement() -> None:
    bad = ArmTotals(ArmSnapshot(requests=50, errors={"x": 50}, compared=50, differing=50))
    good = failing(900, 0)
    shadow, live = Observation((StepTotals(0, good, bad, shadow=True),)), Observation((StepTotals(0, good, bad),))
    differs = Guardrail("disagreement", max=0.02)
    assert after_look(Evidence(), ERRORS, shadow).peak == 0
    assert after_look(Evidence(), differs, live).peak == 0
    assert after_look(Evidence(), ERRORS, live).peak > 5
    assert after_look(Evidence(), differs, shadow).peak > 5


def test_what_the_bets_learn_from_stays_within_its_window() -> None:
    evidence = after_look(Evidence(), ERRORS, look((failing(100, 0), failing(WINDOW + 2, 0))))
    assert sum(evidence.past[1]) == WINDOW // 2 + 1


def arm(rng: np.random.Generator, bucket: int, classes: tuple[int, int], requests: int, before: ArmTotals) -> ArmTotals:
    counts = np.array(before.snapshot.latency.counts)
    np.add.at(counts, np.clip(rng.normal(bucket, 6, requests).astype(int), 0, BUCKETS - 1), 1)
    zero, one = before.snapshot.classes.get(0, 0) + classes[0], before.snapshot.classes.get(1, 0) + classes[1]
    snapshot = ArmSnapshot(
        requests=before.snapshot.requests + requests,
        latency=LatencySnapshot(tuple(counts.tolist())),
        classes={0: zero, 1: one},
    )
    return ArmTotals(snapshot)


@pytest.mark.parametrize("guardrail", [ERRORS, LATENCY, SHIFT])
def test_a_state_that_was_written_and_read_goes_on_exactly(guardrail: Guardrail) -> None:
    rng = np.random.default_rng(1)
    candidate = stable = ArmTotals()
    kept = written = Evidence()
    for _ in range(8):
        candidate = arm(rng, 170, (2, 18), 20, candidate)
        stable = arm(rng, 150, (100, 100), 200, stable)
        kept = after_look(kept, guardrail, look((candidate, stable)))
        written = Evidence.from_json(
            json.loads(json.dumps(after_look(written, guardrail, look((candidate, stable))).to_json()))
        )
    assert written == kept
    if guardrail is not ERRORS:
        assert kept.peak > 4


@pytest.mark.parametrize("row", [[3, 0, 1, 2, 3, 4], [3, -1, 1], [3, 2, 1, 1], [3]])
def test_a_row_of_cells_that_no_version_wrote_is_refused(row: list[int]) -> None:
    document = Evidence(past=((1, 2, 3), (0, 1, 0))).to_json()
    assert Evidence.from_json(document).past == ((1, 2, 3), (0, 1, 0))
    document[3][0] = row
    with pytest.raises(ValueError, match=r"cells|unpack"):
        Evidence.from_json(document)
