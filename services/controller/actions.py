"""Does what a release's state asks for, by one write to the fleet's desired set; nobody waits for a load here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace

from services.controller.observe import FleetView
from services.shared.fleet.base import Desired, FleetStore
from services.shared.release.actions import Action, ActionKind

MayAct = Callable[[], Awaitable[bool]]


def desired_after(fleet: FleetView, model: str, actions: Iterable[Action]) -> Desired:
    """The desired set with these actions done, in their order.

    A load asks for a generation that nobody was asked for before: a process that missed an unload still reports of the
    time before it, perhaps a failure, which must not pass for this load's. WARM changes nothing: a load ends with a run
    of every batch size, and whoever reports the version has made it.
    A name comes to mean a version only when that is warm; until then the action stays to be done.
    """
    desired = fleet.desired
    loaded, defaults = dict(desired.loaded), dict(desired.defaults)
    for action in actions:
        match action.kind:
            case ActionKind.LOAD:
                loaded.setdefault(action.ref, desired.revision + 1)
            case ActionKind.UNLOAD:
                loaded.pop(action.ref, None)
            case ActionKind.SET_DEFAULT:
                if action.ref in fleet.warm:
                    defaults[model] = action.ref
            case ActionKind.WARM:
                pass
    return replace(desired, loaded=loaded, defaults=defaults)


async def act(store: FleetStore, fleet: FleetView, model: str, actions: Iterable[Action], may_act: MayAct) -> FleetView:
    """The fleet as it is then. Writes only what follows from the desired set that was seen, so whatever was changed
    meanwhile, by a person or by another controller, is seen first.

    That alone would not do for a controller that stalled before this write, while another one took the release back
    without a need to change the set: so `may_act` is asked last of all. Raises Conflict, Unavailable.
    """
    after = desired_after(fleet, model, actions)
    if after == fleet.desired or not await may_act():
        return fleet
    return fleet.with_desired(await store.put(after, expected_revision=fleet.desired.revision))
