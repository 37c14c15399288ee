"""What every store of observations promises."""

from __future__ import annotations

import math

import pytest

from services.shared.errors import InvalidInput
from services.shared.model_ref import ModelRef
from services.shared.observations import memory as memory_store
from services.shared.observations import redis as redis_store
from services.shared.observations.base import Evidence, FeedbackTotals, Look, ObservationStore, Point, PointArm
from services.shared.release.mean_evidence import Sample
from services.shared.release.release_counters import ReleaseSnapshot
from tests.support.observations import CANDIDATE, OTHER, STABLE, claim, counted, look, point, totals


async def test_nothing_is_known_of_a_release_that_nobody_wrote_about(store: ObservationStore) -> None:
    assert await store.evidence(["r-1"]) == {"r-1": Evidence()}
    assert await store.evidence([]) == {}
    assert await store.looks(["r-1"]) == {}
    assert await store.looks([]) == {}
    assert await store.points("r-1") == ()
    assert await store.feedback_outside() == {}
    await store.forget("r-1")


async def test_totals_of_several_incarnations_are_added_up_and_take_the_place_of_older_ones(
    store: ObservationStore,
) -> None:
    await store.publish("api-1", totals(stable=counted(2), candidate=counted(1, 1)))
    await store.publish("api-2", totals(stable=counted(5, waiting=2), other=counted(1)))
    await store.publish("api-1", totals(stable=counted(3), candidate=counted(1, 1)))
    await store.publish("api-1", totals(stable=counted(3), candidate=counted(1, 1)))  # a retry counts nothing twice
    found = await store.evidence(["r-1", "r-2", "r-3"])
    assert list(found) == ["r-1", "r-2", "r-3"]
    assert found["r-1"].totals.arms == {
        STABLE: counted(3).merge(counted(5, waiting=2)),
        CANDIDATE: counted(1, 1),
    }
    assert found["r-2"].totals.arms == {OTHER: counted(1)}
    assert found["r-3"] == Evidence()


async def test_an_arm_that_is_no_longer_counted_keeps_what_was_published_of_it(store: ObservationStore) -> None:
    await store.publish("api-1", totals(stable=counted(2), candidate=counted(1)))
    await store.publish("api-1", totals(stable=counted(4)))
    await store.publish("api-1", ReleaseSnapshot())
    found = await store.evidence(["r-1"])
    assert found["r-1"].totals.arms == {STABLE: counted(4), CANDIDATE: counted(1)}


async def test_the_same_evidence_is_the_same_object_until_something_is_written(store: ObservationStore) -> None:
    await store.publish("api-1", totals(stable=counted(2), other=counted(1)))
    before = await store.evidence(["r-1", "r-2"])
    again = await store.evidence(["r-2", "r-1", "r-1"])
    assert all(again[release] is before[release] for release in ("r-1", "r-2"))
    await store.publish("api-1", totals(stable=counted(3), other=counted(1)))
    after = await store.evidence(["r-1", "r-2"])
    assert after["r-1"].totals.arms == {STABLE: counted(3)}
    assert before["r-1"].totals.arms == {STABLE: counted(2)}
    assert after["r-2"] is before["r-2"]


async def test_feedback_is_counted_once_for_each_token(store: ObservationStore) -> None:
    assert await store.feedback(claim(), "token a", right=True, reward=None)
    assert not await store.feedback(claim(), "token a", right=True, reward=None)
    assert not await store.feedback(claim(), "token a", right=False, reward=3.0)
    assert await store.feedback(claim(), "token b", right=False, reward=None)
    assert await store.feedback(claim(), "token c", right=None, reward=0.5)
    assert await store.feedback(claim(), "token d", right=None, reward=-1.5)
    assert await store.feedback(claim(arm="stable"), "token e", right=True, reward=2.0)
    before = (await store.evidence(["r-1"]))["r-1"]
    assert before.totals == ReleaseSnapshot()
    assert before.feedback == {
        CANDIDATE: FeedbackTotals(2, 1, Sample(2, -1.0, 2.5)),
        STABLE: FeedbackTotals(1, 1, Sample(1, 2.0, 4.0)),
    }
    assert (await store.evidence(["r-1"]))["r-1"] is before
    await store.feedback(claim(arm="stable"), "token f", right=False, reward=None)
    after = (await store.evidence(["r-1"]))["r-1"]
    assert after.feedback[STABLE] == FeedbackTotals(2, 1, Sample(1, 2.0, 4.0))


async def test_feedback_outside_releases_is_counted_by_version(store: ObservationStore) -> None:
    outside = claim(release="", arm="stable", step=0)
    assert await store.feedback(outside, "token a", right=True, reward=None)
    assert not await store.feedback(outside, "token a", right=True, reward=None)
    assert await store.feedback(outside, "token b", right=None, reward=0.25)
    assert await store.feedback_outside() == {ModelRef("digits", 2): FeedbackTotals(1, 1, Sample(1, 0.25, 0.0625))}


@pytest.mark.parametrize("reward", [None, math.nan, math.inf, -1e7])
async def test_feedback_that_says_nothing_is_refused_and_its_token_may_be_used(
    store: ObservationStore, reward: float | None
) -> None:
    with pytest.raises(InvalidInput):
        await store.feedback(claim(), "token a", right=None, reward=reward)
    assert await store.feedback(claim(), "token a", right=True, reward=None)


async def test_the_last_look_is_kept(store: ObservationStore) -> None:
    await store.keep_look("r-1", look(5.0))
    await store.keep_looks({"r-1": look(6.0), "r-2": look(7.0)})
    await store.keep_looks({})
    assert await store.looks(["r-1", "r-2", "r-3"]) == {"r-1": look(6.0), "r-2": look(7.0)}
    assert await store.looks(["r-2"]) == {"r-2": look(7.0)}
    await store.keep_look("r-2", look(8.0))
    assert await store.looks(["r-2"]) == {"r-2": look(8.0)}


async def test_numbers_that_json_does_not_have_are_unknown_in_a_report(store: ObservationStore) -> None:
    await store.keep_look("r-1", Look(1.0, (), {"estimate": math.nan, "interval": [-math.inf, 0.5]}))
    kept = (await store.looks(["r-1"]))["r-1"]
    assert kept.report == {"estimate": None, "interval": [None, 0.5]}


async def test_the_timeline_keeps_the_latest_points(store: ObservationStore, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (memory_store, redis_store):
        monkeypatch.setattr(module, "MAX_POINTS", 3)
    for at in range(5):
        await store.add_point("r-1", point(float(at)))
    await store.add_point("r-2", point(9.0))
    assert await store.points("r-1") == (point(2.0), point(3.0), point(4.0))


async def test_a_point_of_an_arm_without_answers_has_no_latencies(store: ObservationStore) -> None:
    idle = PointArm(0, 0, math.nan, math.nan, math.nan)
    await store.add_point("r-1", Point(1.0, 0, "shadowing", {}, {"stable": idle}))
    [kept] = await store.points("r-1")
    assert (kept.arms["stable"].requests, kept.phase) == (0, "shadowing")
    assert all(math.isnan(getattr(kept.arms["stable"], name)) for name in ("p50_ms", "p95_ms", "p99_ms"))


async def test_a_release_can_be_forgotten_and_begin_anew(store: ObservationStore) -> None:
    await store.publish("api-1", totals(stable=counted(2), candidate=counted(1), other=counted(1)))
    await store.feedback(claim(), "token a", right=True, reward=None)
    await store.keep_look("r-1", look())
    await store.add_point("r-1", point(1.0))
    await store.evidence(["r-1"])
    await store.forget("r-1")
    assert await store.evidence(["r-1"]) == {"r-1": Evidence()}
    assert await store.looks(["r-1"]) == {}
    assert await store.points("r-1") == ()
    assert (await store.evidence(["r-2"]))["r-2"].totals.arms == {OTHER: counted(1)}
    assert not await store.feedback(claim(), "token a", right=True, reward=None)
    await store.publish("api-2", totals(stable=counted(7)))
    assert (await store.evidence(["r-1"]))["r-1"].totals.arms == {STABLE: counted(7)}
