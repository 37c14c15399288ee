"""What every store of releases promises."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from services.shared.errors import Conflict, InvalidInput, NotFound
from services.shared.release.advance import Event, begun
from services.shared.release.plan import Plan
from services.shared.release.state import Phase
from services.shared.release_store.base import NEVER, Release, Releases, ReleaseStore
from tests.support.release_plans import CANDIDATE, STABLE, START, ab, blue_green, canary, pending, shadow

PLAN = canary(guardrails=[{"metric": "promql", "query": 'up{arm="$arm"}', "max": 1, "looks": 3}])
FIRST = Release(PLAN, pending(PLAN))
PETS_PLAN = replace(ab(), model="pets")
PETS = Release(PETS_PLAN, pending(PETS_PLAN, "r-2"))


def at_weight(release: Release, weight: float) -> Release:
    """The next state, whatever it was."""
    state = replace(release.state, phase=Phase.PROGRESSING, step=1, weights=(weight,), reason=f"weight {weight:g}")
    return replace(release, state=state)


def event(why: str) -> Event:
    return Event(START, "r-1", "ann", Phase.PENDING, Phase.PROGRESSING, 1, 5.0, why)


async def test_what_was_put_is_there_with_its_revision(store: ReleaseStore) -> None:
    written = await store.put(FIRST, expected_revision=0)
    assert written == replace(FIRST, revision=written.revision)
    assert written.revision > 0
    assert await store.get("digits") == written
    assert await store.list() == Releases(written.revision, {"digits": written})


@pytest.mark.parametrize("plan", [PLAN, ab(), shadow(), blue_green()], ids=lambda plan: str(plan.strategy))
async def test_every_field_survives(store: ReleaseStore, plan: Plan) -> None:
    state = replace(
        FIRST.state,
        phase=Phase.PROMOTING,
        weights=(12.5,) * len(plan.arms),
        shadow=0.1,
        step=3,
        since=START + 0.25,
        reason="“so it is”",
        loaded_before=frozenset({STABLE, CANDIDATE}),
        failed=True,
        winner="candidate",
        settled=True,
        cells=(4, 0, 7),
    )
    written = await store.put(Release(plan, state, archived=True), expected_revision=0)
    read = await store.get("digits")
    assert (read.plan, read.state, read.archived, read.revision) == (plan, state, True, written.revision)


async def test_an_empty_store_has_nothing(store: ReleaseStore) -> None:
    assert await store.list() == Releases()
    assert await store.events("digits") == ()
    assert await store.changed(NEVER, timeout_s=5) == 0
    with pytest.raises(NotFound, match="no release of 'digits'"):
        await store.get("digits")


async def test_a_stale_writer_is_refused_and_changes_nothing(store: ReleaseStore) -> None:
    first = await store.put(FIRST, expected_revision=0, event=begun(FIRST.state, "ann"))
    second = await store.put(at_weight(first, 5), expected_revision=first.revision)
    for expected in (0, first.revision, second.revision + 1):
        with pytest.raises(Conflict, match=f"digits has revision {second.revision}, not revision {expected}"):
            await store.put(at_weight(first, 50), expected_revision=expected, event=event("stale"))
    with pytest.raises(Conflict, match="pets has no release, not revision 7"):
        await store.put(PETS, expected_revision=7)
    assert await store.list() == Releases(second.revision, {"digits": second})
    assert [e.why for e in await store.events("digits")] == ["its versions are being loaded"]


async def test_of_many_writers_at_once_one_wins(store: ReleaseStore) -> None:
    first = await store.put(FIRST, expected_revision=0)
    answers = await asyncio.gather(
        *(store.put(at_weight(first, w), expected_revision=first.revision, event=event(str(w))) for w in range(1, 21)),
        return_exceptions=True,
    )
    won = [answer for answer in answers if isinstance(answer, Release)]
    assert len(won) == 1
    assert sum(isinstance(answer, Conflict) for answer in answers) == 19
    assert await store.get("digits") == won[0]
    assert [e.why for e in await store.events("digits")] == [f"{won[0].state.weight:g}"]


async def test_every_write_has_a_higher_revision_and_releases_do_not_disturb_each_other(store: ReleaseStore) -> None:
    digits = await store.put(FIRST, expected_revision=0)
    pets = await store.put(PETS, expected_revision=0)
    again = await store.put(at_weight(digits, 5), expected_revision=digits.revision)
    assert digits.revision < pets.revision < again.revision
    assert await store.list() == Releases(again.revision, {"digits": again, "pets": pets})


async def test_the_log_is_added_to_in_order_and_read_in_pages(store: ReleaseStore) -> None:
    release = await store.put(FIRST, expected_revision=0, event=begun(FIRST.state, "ann"))
    await store.put(PETS, expected_revision=0, event=begun(PETS.state, "bob"))
    for i in range(5):
        release = await store.put(release, expected_revision=release.revision, event=event(f"why {i}"))
    await store.put(release, expected_revision=release.revision)
    log = await store.events("digits")
    assert log == (begun(FIRST.state, "ann"), *(event(f"why {i}") for i in range(5)))
    assert await store.events("digits", start=2, limit=3) == log[2:5]
    assert await store.events("digits", start=99) == ()
    assert [e.by for e in await store.events("pets")] == ["bob"]
    with pytest.raises(InvalidInput):
        await store.events("digits", limit=0)
    with pytest.raises(InvalidInput):
        await store.events("digits", start=-1)


async def test_whoever_waits_is_told_of_a_change_and_otherwise_when_the_time_is_over(store: ReleaseStore) -> None:
    first = await store.put(FIRST, expected_revision=0)
    assert await store.changed(NEVER, timeout_s=60) == first.revision
    assert await store.changed(first.revision, timeout_s=0) == first.revision
    assert await store.changed(first.revision, timeout_s=0.05) == first.revision
    waiting = [asyncio.create_task(store.changed(first.revision, timeout_s=60)) for _ in range(3)]
    second = await store.put(at_weight(first, 5), expected_revision=first.revision)
    async with asyncio.timeout(20):
        assert await asyncio.gather(*waiting) == [second.revision] * 3


async def test_who_stops_waiting_leaves_nothing_behind(store: ReleaseStore) -> None:
    first = await store.put(FIRST, expected_revision=0)
    for _ in range(3):
        waiting = asyncio.create_task(store.changed(first.revision, timeout_s=60))
        done, _ = await asyncio.wait([waiting], timeout=0.02)
        assert not done
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    assert await store.changed(first.revision, timeout_s=0.01) == first.revision
