"""A person's command to a release: read, decide, write; what it means outside is the controller's to do."""

from __future__ import annotations

from dataclasses import replace

from services.api.releases.condition import Condition, stale
from services.api.releases.stores import ReleaseStores
from services.shared.clock import Clock
from services.shared.errors import Conflict
from services.shared.fleet.base import FleetStore
from services.shared.fleet.live import live, warm_refs
from services.shared.release.actions import Seen
from services.shared.release.advance import Event, advance
from services.shared.release.commands import Command, CommandKind
from services.shared.release.state import Phase
from services.shared.release_store.base import Release, ReleaseStore, no_such_release

ATTEMPTS = 64  # each that fails is another writer's success; the controller writes once a second, people at once


async def shown_release(store: ReleaseStore, model: str) -> Release:
    """The release of a public name; raises NotFound for an archived one as well."""
    release = await store.get(model)
    if release.archived:
        raise no_such_release(model)
    return release


async def command_release(
    stores: ReleaseStores, model: str, command: Command, *, condition: Condition, clock: Clock
) -> Release:
    """The release after the command, the same one where it changes nothing.

    Raises NotFound, Conflict with the reason for what it refuses, Stale, Unavailable.
    """
    for _ in range(ATTEMPTS):
        before = await shown_release(stores.releases, model)
        condition.check(before.revision)
        seen = await _seen(stores.fleet, model, clock.now())
        advanced = advance(before.plan, before.state, seen, command, clock.now())
        if advanced.refused:
            raise Conflict(advanced.refused)
        if advanced.state is before.state:
            return before
        after = replace(before, state=advanced.state)
        written = await _put(stores.releases, after, advanced.event, condition)
        if written is not None:
            return written
    raise _always_another()


async def end_release(stores: ReleaseStores, model: str, *, by: str, condition: Condition, clock: Clock) -> Release:
    """One that is not over is ended, one that is over is archived. Ending it again, while the controller still puts
    away what it left, changes nothing: a request whose answer was lost may be sent again. Raises as `command_release`.
    """
    for _ in range(ATTEMPTS):
        before = await shown_release(stores.releases, model)
        condition.check(before.revision)
        state = before.state
        if not state.over:
            return await command_release(
                stores, model, Command(CommandKind.ABORT, by), condition=condition, clock=clock
            )
        if state.phase is Phase.ABORTED and not state.settled:
            return before
        why = "an administrator archived it"
        event = Event(clock.now(), state.release, by, state.phase, state.phase, state.step, state.weight, why)
        written = await _put(stores.releases, replace(before, archived=True), event, condition)
        if written is not None:
            return written
    raise _always_another()


async def _seen(fleet: FleetStore, model: str, now: float) -> Seen:
    """Of the fleet only: the evidence is the controller's to judge, and it looks at it again after every command."""
    desired, heartbeats = await fleet.desired(), await fleet.heartbeats()
    warm = warm_refs(desired, live(heartbeats, now))
    return Seen(desired=frozenset(desired.loaded), warm=warm, default=desired.defaults.get(model))


async def _put(store: ReleaseStore, release: Release, event: Event | None, condition: Condition) -> Release | None:
    """None where another writer was first and the command did not say for which revision it is meant."""
    try:
        return await store.put(release, expected_revision=release.revision, event=event)
    except Conflict:
        if condition.is_given:
            raise stale() from None
        return None


def _always_another() -> Conflict:
    return Conflict("others wrote the release each time: try again", retry_after_s=1.0)
