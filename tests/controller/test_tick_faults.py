"""What goes wrong around a controller: a lease that is lost, another writer, a death between two writes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

import pytest

from services.controller.lease import TTL_S
from services.controller.tick import LeadsNoMore
from services.shared.errors import Unavailable
from services.shared.fleet.base import Desired
from services.shared.observations.base import Evidence
from services.shared.release.commands import CommandKind
from services.shared.release.plan import Plan
from services.shared.release.state import Phase
from services.shared.release_store.base import Release
from tests.support.controller_bench import Bench
from tests.support.release_plans import CANDIDATE, STABLE, blue_green, canary, pending

ERRORS = [{"metric": "error_rate", "max_increase": 0.01}]


def plan(**fields: object) -> Plan:
    return canary(**{"guardrails": ERRORS, "steps": [{"weight": 50, "for": "3s"}], "hold": "3s", **fields})


async def test_a_lease_that_runs_out_in_the_middle_of_a_look_ends_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.begin(plan())
    bench.api.fails = {CANDIDATE: 1.0}
    while (await bench.state()).phase is Phase.PENDING:
        await bench.second()
    read = bench.observations.evidence

    async def slow(releases: Collection[str]) -> Mapping[str, Evidence]:
        bench.clock.advance(TTL_S)
        return await read(releases)

    monkeypatch.setattr(bench.observations, "evidence", slow)
    with pytest.raises(LeadsNoMore):
        await bench.second()
    assert (await bench.state()).phase is Phase.PROGRESSING  # what it saw would have taken it back
    monkeypatch.undo()
    await bench.second()
    assert (await bench.state()).phase is Phase.ROLLING_BACK


async def test_of_two_controllers_one_acts_at_a_time(bench: Bench) -> None:
    await bench.begin(plan())
    leadership, _, other = bench.another("controller-2")
    await leadership.renew()
    assert [bench.leadership.held, leadership.held] == [True, False]
    await bench.second()
    with pytest.raises(LeadsNoMore):
        await other.look()
    bench.clock.advance(TTL_S)  # the first one hangs
    await bench.api.follow()
    await leadership.renew()
    assert [bench.leadership.held, leadership.held] == [False, True]
    with pytest.raises(LeadsNoMore):
        await bench.controller.look()
    await other.look()
    assert (await bench.state()).phase is Phase.PROGRESSING
    await bench.leadership.renew()
    assert not bench.leadership.held


async def test_the_next_leader_goes_on_with_the_evidence_of_the_last(bench: Bench) -> None:
    await bench.begin(plan(steps=[{"weight": 50, "for": "100s"}]))
    bench.api.fails = {CANDIDATE: 0.02}
    for _ in range(6):
        await bench.second()
    before = (await bench.observations.looks(["r-1"]))["r-1"]
    await bench.leadership.give_back()
    leadership, _, other = bench.another("controller-2")
    await leadership.renew()
    assert leadership.held
    await other.look()
    after = (await bench.observations.looks(["r-1"]))["r-1"]
    assert before.analyses[0].evidence[0].seen
    assert after.analyses == before.analyses  # the same totals again are no further evidence


async def test_a_stalled_controller_does_not_set_a_default_after_another_took_the_release_back(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.begin(blue_green(hold="1s"))
    while (await bench.state()).weight < 100:
        await bench.second()
    leadership, _, other = bench.another("controller-2")
    read = bench.releases.get
    stalled = False

    async def stall(model: str) -> Release:
        """Between its decision and its write the first controller stops for long, and the world goes on."""
        nonlocal stalled
        if not stalled:
            stalled = True
            await bench.command(CommandKind.ROLLBACK)
            bench.clock.advance(TTL_S)
            await leadership.renew()
            for _ in range(3):
                await bench.api.follow()
                await other.look()
        return await read(model)

    monkeypatch.setattr(bench.releases, "get", stall)
    with pytest.raises(LeadsNoMore):
        await bench.second()
    assert stalled
    assert (await bench.state()).settled
    assert (await bench.default(), await bench.loaded()) == (STABLE, {STABLE})


async def test_a_release_that_changed_since_it_was_seen_gets_no_action(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.begin(blue_green(hold="1s"))
    while (await bench.state()).weight < 100:
        await bench.second()
    read = bench.releases.get
    told = False

    async def taken_back_meanwhile(model: str) -> Release:
        nonlocal told
        if not told:
            told = True
            await bench.command(CommandKind.ROLLBACK)
        return await read(model)

    monkeypatch.setattr(bench.releases, "get", taken_back_meanwhile)
    await bench.second()
    assert told
    assert await bench.default() == STABLE
    await bench.seconds_until(Phase.ROLLED_BACK, most=4)


async def test_a_death_between_the_state_and_the_actions_is_made_good_by_the_next(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.begin(plan())
    bench.api.fails = {CANDIDATE: 1.0}
    await bench.seconds_until(Phase.ROLLED_BACK)

    async def dies(_desired: Desired, *, expected_revision: int) -> Desired:
        raise KeyboardInterrupt

    monkeypatch.setattr(bench.fleet, "put", dies)
    with pytest.raises(KeyboardInterrupt):
        await bench.second()
    monkeypatch.undo()
    bench.clock.advance(TTL_S)
    leadership, _, other = bench.another("controller-2")
    await leadership.renew()
    for _ in range(3):
        await bench.api.follow()
        await other.look()
    assert (await bench.state()).settled
    assert await bench.loaded() == {STABLE}


async def test_another_writer_who_was_first_is_seen_at_the_next_look(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.begin(plan())
    await bench.second()
    put = bench.releases.put
    beaten = False

    async def second_place(release: Release, **rest: object) -> Release:
        nonlocal beaten
        if not beaten:
            beaten = True
            await bench.command(CommandKind.ABORT)
        return await put(release, **rest)  # type: ignore[arg-type]

    monkeypatch.setattr(bench.releases, "put", second_place)
    await bench.second()
    assert bench.counters.conflicts == 1
    assert (await bench.state()).phase is Phase.ABORTED
    while not (await bench.state()).settled:
        await bench.second()
    assert await bench.loaded() == {STABLE}


async def test_a_release_that_cannot_be_looked_at_stops_no_other(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    await bench.begin(plan())
    other = plan(model="letters")
    state = replace(pending(other, "r-2"), created_at=bench.clock.now(), since=bench.clock.now())
    await bench.releases.put(Release(other, state), expected_revision=0)
    read = bench.observations.evidence

    async def half_broken(releases: Collection[str]) -> Mapping[str, Evidence]:
        found = dict(await read(releases))
        if "r-2" in found:
            found["r-2"] = Evidence(None)  # type: ignore[arg-type]
        return found

    monkeypatch.setattr(bench.observations, "evidence", half_broken)
    await bench.seconds_until(Phase.PROMOTED)
    assert (await bench.state("letters")).phase is Phase.PENDING
    assert bench.counters.errors > 0


async def test_a_failed_candidate_loses_its_weight_while_the_fleet_is_unknown(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.begin(plan())
    while (await bench.state()).phase is Phase.PENDING:
        await bench.second()
    bench.api.fails = {CANDIDATE: 1.0}

    async def away() -> Desired:
        raise Unavailable("the data directory cannot be used")

    await bench.api.follow()
    await bench.api.serve("digits", 100)
    monkeypatch.setattr(bench.fleet, "desired", away)
    await bench.controller.look()
    state = await bench.state()
    assert (state.phase, state.weight) == (Phase.ROLLING_BACK, 0)
    await bench.controller.look()
    assert (await bench.state()).phase is Phase.ROLLING_BACK  # nobody can say that all have followed
    monkeypatch.undo()
    await bench.seconds_until(Phase.ROLLED_BACK, most=4)


async def test_a_store_of_releases_that_is_away_is_the_callers_to_wait_for(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.begin(plan())

    async def away() -> None:
        raise Unavailable("no answer")

    monkeypatch.setattr(bench.releases, "list", away)
    with pytest.raises(Unavailable):
        await bench.second()


async def test_a_fleet_that_cannot_be_written_stops_no_rollback(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    await bench.begin(plan(model="a-first"))
    other = plan()
    state = replace(pending(other, "r-2"), created_at=bench.clock.now(), since=bench.clock.now())
    await bench.releases.put(Release(other, state), expected_revision=0)
    bench.api.fails = {CANDIDATE: 1.0}

    async def full(_desired: Desired, *, expected_revision: int) -> Desired:
        raise Unavailable("no space left on device")

    monkeypatch.setattr(bench.fleet, "put", full)
    await bench.second()
    assert {(await bench.state(model)).phase for model in ("a-first", "digits")} == {Phase.PENDING}
    monkeypatch.undo()
    while (await bench.state()).phase is not Phase.PROGRESSING:
        await bench.second()
    await bench.api.serve("digits", 200)
    monkeypatch.setattr(bench.fleet, "put", full)
    await bench.second()
    assert (await bench.state()).phase is Phase.ROLLING_BACK
