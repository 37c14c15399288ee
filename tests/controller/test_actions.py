"""Actions as one write to the desired set."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.controller.actions import act, desired_after
from services.controller.observe import FleetView
from services.shared.errors import Conflict
from services.shared.fleet.base import Desired, Heartbeat, RefReport
from services.shared.fleet.memory import MemoryFleetStore
from services.shared.model_ref import ModelRef
from services.shared.release.actions import Action, ActionKind
from tests.support.release_plans import CANDIDATE, OTHER, STABLE

LOAD, WARM, UNLOAD, SET_DEFAULT = ActionKind.LOAD, ActionKind.WARM, ActionKind.UNLOAD, ActionKind.SET_DEFAULT
DESIRED = Desired(1, {STABLE: 4, OTHER: 1}, {"digits": STABLE, "big": OTHER})
WARM_ONES = [Heartbeat("api-1", 1.0, 1, {STABLE: RefReport(4, "loaded"), OTHER: RefReport(1, "loaded")})]


def fleet_of(desired: Desired) -> FleetView:
    return FleetView.of(desired, WARM_ONES, 1.0)


@pytest.mark.parametrize(
    ("actions", "loaded", "default"),
    [
        ([], {STABLE: 4, OTHER: 1}, STABLE),
        ([(LOAD, CANDIDATE)], {STABLE: 4, OTHER: 1, CANDIDATE: 2}, STABLE),  # a generation of its own
        ([(LOAD, STABLE)], {STABLE: 4, OTHER: 1}, STABLE),
        ([(WARM, CANDIDATE)], {STABLE: 4, OTHER: 1}, STABLE),
        ([(UNLOAD, STABLE), (UNLOAD, CANDIDATE)], {OTHER: 1}, STABLE),
        ([(SET_DEFAULT, OTHER)], {STABLE: 4, OTHER: 1}, OTHER),
        ([(SET_DEFAULT, CANDIDATE)], {STABLE: 4, OTHER: 1}, STABLE),  # not warm yet: it stays to be done
    ],
)
def test_the_desired_set_after_actions(
    actions: list[tuple[ActionKind, ModelRef]], loaded: dict[ModelRef, int], default: ModelRef
) -> None:
    after = desired_after(fleet_of(DESIRED), "digits", [Action(*action) for action in actions])
    assert (after.loaded, after.defaults) == (loaded, {"digits": default, "big": OTHER})


async def yes() -> bool:
    return True


async def test_all_of_a_releases_actions_are_one_write() -> None:
    store = MemoryFleetStore()
    first = await store.put(replace(DESIRED, revision=0), expected_revision=0)
    after = await act(store, fleet_of(first), "digits", [Action(LOAD, CANDIDATE), Action(UNLOAD, STABLE)], yes)
    assert await store.desired() == after.desired
    assert (after.desired.revision, set(after.desired.loaded)) == (2, {CANDIDATE, OTHER})
    assert await act(store, after, "digits", [Action(LOAD, OTHER), Action(WARM, OTHER)], yes) is after


async def test_a_set_that_was_changed_meanwhile_is_not_written_over() -> None:
    store = MemoryFleetStore()
    first = await store.put(replace(DESIRED, revision=0), expected_revision=0)
    await store.put(replace(first, defaults={}), expected_revision=1)
    with pytest.raises(Conflict):
        await act(store, fleet_of(first), "digits", [Action(LOAD, CANDIDATE)], yes)


async def test_who_may_not_act_writes_nothing() -> None:
    async def no() -> bool:
        return False

    store = MemoryFleetStore()
    first = await store.put(replace(DESIRED, revision=0), expected_revision=0)
    fleet = fleet_of(first)
    assert await act(store, fleet, "digits", [Action(LOAD, CANDIDATE)], no) is fleet
    assert await store.desired() == first
