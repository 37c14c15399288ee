"""What is kept of looks: news at once, the rest a few at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from services.controller.bookkeeping import Record, add_points, keep_looks
from services.controller.remembered import KEYS_S, Remembered
from services.shared.observations.base import Evidence, Look
from services.shared.observations.memory import MemoryObservationStore
from services.shared.release.analysis import AnalysisState
from services.shared.release.arm_snapshot import ArmSnapshot
from services.shared.release.distinct_keys import REGISTERS, DistinctKeysSnapshot
from services.shared.release.release_counters import ArmKey, ReleaseSnapshot
from services.shared.release.state import Phase
from services.shared.release_store.base import Release
from tests.support.release_plans import START, canary
from tests.support.release_states import AT_5, CANARY


class CountingStore(MemoryObservationStore):
    def __init__(self) -> None:
        super().__init__()
        self.kept: list[set[str]] = []

    async def keep_looks(self, looks: Mapping[str, Look]) -> None:
        self.kept.append(set(looks))
        await super().keep_looks(looks)


def records(count: int) -> list[Record]:
    return [
        Record(
            Release(CANARY, replace(AT_5, release=f"r-{number}")), Remembered.of(CANARY, None, 0.0), Evidence(), True
        )
        for number in range(count)
    ]


async def test_news_is_kept_at_once_and_the_rest_in_turn() -> None:
    store, all_of_them = CountingStore(), records(50)
    for at in range(11):
        await keep_looks(store, all_of_them, now=START + at, monotonic=float(at))
    assert [len(names) for names in store.kept] == [50] + [5] * 10
    assert set().union(*store.kept[1:]) == store.kept[0]
    changed = replace(all_of_them[0].release.state, phase=Phase.PAUSED)
    all_of_them[0] = replace(all_of_them[0], release=replace(all_of_them[0].release, state=changed))
    await keep_looks(store, all_of_them, now=START + 11, monotonic=11.0)
    assert "r-0" in store.kept[-1]
    assert len(store.kept[-1]) == 6


async def test_a_release_of_which_nothing_is_new_is_not_kept_again() -> None:
    store, [record] = CountingStore(), records(1)
    await keep_looks(store, [record], now=START, monotonic=0.0)
    await keep_looks(store, [replace(record, judged=False)], now=START + 9, monotonic=9.0)
    assert store.kept == [{"r-0"}, set()]


async def test_points_are_added_as_far_apart_as_they_are_to_be_and_when_something_changes() -> None:
    store, [record] = CountingStore(), records(1)
    for at in range(5):
        await add_points(store, [record], now=START + at, monotonic=float(at))
    assert [point.at - START for point in await store.points("r-0")] == [0, 2, 4]
    heavier = replace(record, release=replace(record.release, state=replace(record.release.state, weights=(25.0,))))
    await add_points(store, [heavier], now=START + 5, monotonic=5.0)
    assert [point.weights["candidate"] for point in await store.points("r-0")] == [5.0, 5.0, 5.0, 25.0]


async def test_what_happened_before_a_leader_came_is_not_told_as_if_it_were_new() -> None:
    store, [record] = CountingStore(), records(1)
    totals = ReleaseSnapshot({ArmKey("r-0", 1, "stable"): ArmSnapshot(requests=500)})
    old = replace(record, evidence=Evidence(totals))
    await add_points(store, [old], now=START + 3600, monotonic=0.0)
    [point] = await store.points("r-0")
    assert point.arms["stable"].requests == 0


def test_a_look_of_another_shape_is_none() -> None:
    known = Remembered.of(CANARY, Look(1.0, (AnalysisState((), (3,)),), {"a": 1}), 5.0)
    assert (known.judgement.analyses, known.report) == ((AnalysisState((), (3,)),), {"a": 1})
    other = Remembered.of(CANARY, Look(1.0, (), {"a": 1}), 5.0)
    assert (other.judgement.analyses, other.report) == ((AnalysisState(),), {})


def test_idle_is_since_the_last_new_request_that_this_leader_has_seen() -> None:
    known = Remembered.of(CANARY, None, 5.0)
    one = Evidence(ReleaseSnapshot({ArmKey("r", 1, "stable"): ArmSnapshot(requests=500)}))
    assert [known.idle_s(Evidence(), 5.0), known.idle_s(Evidence(), 8.0)] == [0.0, 3.0]
    assert [known.idle_s(one, 9.0), known.idle_s(one, 11.0)] == [0.0, 2.0]


def test_keys_are_counted_now_and_then() -> None:
    def came(registers: int) -> Evidence:
        keys = DistinctKeysSnapshot(bytes([registers]) * REGISTERS)
        return Evidence(ReleaseSnapshot({ArmKey("r-1", 1, "stable"): ArmSnapshot(requests=1, keys=keys)}))

    known = Remembered.of(CANARY, None, 0.0)
    first = known.keys_of(CANARY, AT_5, came(1), 0.0)
    assert first[1][0] == (0.95, 0.05)
    assert first[1][1][1] == 0.0
    assert known.keys_of(CANARY, AT_5, came(2), KEYS_S - 0.1) is first
    later = known.keys_of(CANARY, AT_5, came(2), KEYS_S)
    assert later[1][1][0] > first[1][1][0] > 1000
    elsewhere = replace(AT_5, cells=(1,))
    assert known.keys_of(CANARY, elsewhere, came(3), KEYS_S)[1][1][0] > later[1][1][0]


def test_a_judgement_is_the_same_until_something_that_it_is_made_of_changes() -> None:
    evidence, known = Evidence(), Remembered.of(CANARY, None, 0.0)
    asks = canary(guardrails=[{"metric": "promql", "query": "x{arm='$arm'}", "max": 1.0}])
    assert not known.is_judged(CANARY, AT_5, evidence, 0)
    known.evidence, known.place = evidence, (1, 1, ())
    assert known.is_judged(CANARY, AT_5, evidence, 3)
    assert not known.is_judged(asks, AT_5, evidence, 3)
    assert not known.is_judged(CANARY, AT_5, Evidence(), 0)
    assert not known.is_judged(CANARY, replace(AT_5, cells=(1,)), evidence, 0)
