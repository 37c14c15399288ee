"""Beginning a release: what has to be true of its plan in this fleet, and its first write."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Collection, Mapping
from datetime import UTC, datetime

from services.api.releases.condition import Condition, stale
from services.api.releases.stores import ReleaseStores
from services.shared.errors import Conflict, InvalidInput, NotFound, ServingError
from services.shared.fleet.base import Desired
from services.shared.model_ref import ModelRef
from services.shared.release.advance import begun
from services.shared.release.plan import Plan, Strategy
from services.shared.release.routing import SALT_BYTES
from services.shared.release.state import Phase, ReleaseState, begin
from services.shared.release_store.base import Release, ReleaseStore

_SHOWN_NAME = 40  # characters of a model's name in an id: it is a label of metrics, and stands in every feedback_id
_RANDOM_BYTES = 3
_CLASSIFICATION = "classification"  # the task of a config that names none


async def begin_release(stores: ReleaseStores, plan: Plan, *, by: str, condition: Condition, now: float) -> Release:
    """Writes the first state of a release, in place of one that is over.

    Raises NotFound for a name or a version that there is not, InvalidInput for arms that cannot answer for stable,
    Conflict while another release is not over, Stale, Unavailable.
    """
    before = await _before(stores.releases, plan.model)
    condition.check(before.revision if before is not None and not before.archived else None)
    if before is not None:
        check_may_follow(before.state, plan.model)
    desired = await stores.fleet.desired()
    state = first_state(plan, desired, now, _left_by(before))
    await _check_versions(stores, plan, state.stable)
    await _check_tasks(stores, plan, state.stable)
    release = Release(plan, state)
    expected = before.revision if before is not None else 0
    try:
        return await stores.releases.put(release, expected_revision=expected, event=begun(state, by))
    except Conflict:
        return await _written_after_all(stores.releases, release, condition)


def first_state(plan: Plan, desired: Desired, now: float, left: Collection[ModelRef] = ()) -> ReleaseState:
    """`left` are versions that are loaded for a release before it alone, and that it puts away in its place.

    Raises NotFound for a public name that means nothing, InvalidInput for stable against itself.
    """
    default = desired.defaults.get(plan.model)
    if default is None:
        raise NotFound(f"there is no model {plan.model!r}", field="model")
    salt, release = os.urandom(SALT_BYTES), release_id(plan.model, now, os.urandom(_RANDOM_BYTES))
    return begin(plan, release, salt, default=default, loaded=set(desired.loaded).difference(left), now=now)


def release_id(model: str, now: float, random: bytes) -> str:
    """As in digits-20261122-ab12cd: readable, and another one for each release."""
    return f"{model[:_SHOWN_NAME]}-{datetime.fromtimestamp(now, UTC):%Y%m%d}-{random.hex()}"


def check_may_follow(before: ReleaseState, model: str) -> None:
    """Raises Conflict while a release is not over, or may have a default to write back."""
    if not before.over:
        raise Conflict(
            f"the release {before.release} of {model} is {before.phase.value.replace('_', ' ')}: end it first "
            f"(DELETE /v1/models/{model}/release), or wait until it is over"
        )
    if before.winner and before.phase is not Phase.PROMOTED and not before.settled:
        raise Conflict(
            f"the release {before.release} of {model} is over, but the controller has not written back yet what the "
            "name meant before: try again in a second",
            retry_after_s=1.0,
        )


def _left_by(before: Release | None) -> frozenset[ModelRef]:
    """What the release before has loaded, and not put away yet."""
    if before is None or before.state.settled:
        return frozenset()
    return frozenset(arm.ref for arm in before.plan.arms) - before.state.loaded_before


async def _before(store: ReleaseStore, model: str) -> Release | None:
    try:
        return await store.get(model)
    except NotFound:
        return None


async def _written_after_all(store: ReleaseStore, release: Release, condition: Condition) -> Release:
    """A write whose answer was lost on the way was done; any other was somebody else's."""
    there = await store.get(release.plan.model)
    if there.state.release == release.state.release:
        return there
    if condition.is_given:
        raise stale(there.revision)
    raise Conflict(f"another release of {release.plan.model} was begun at the same moment: {there.state.release}")


async def _check_versions(stores: ReleaseStores, plan: Plan, stable: ModelRef) -> None:
    there: dict[str, list[int]] = {}
    for entry in await stores.client.index():
        if entry.version is not None:
            there.setdefault(entry.name, []).append(entry.version)
    for field, ref in _fields(plan, stable).items():
        versions = there.get(ref.name, [])
        if ref.version in versions:
            continue
        versions = sorted({*versions, *await asyncio.to_thread(_versions_here, stores, ref.name)})
        if not versions:
            raise NotFound(f"{field}: there is no model {ref.name!r} in the repository", field=field)
        if ref.version not in versions:
            has = ", ".join(map(str, versions))
            raise NotFound(f"{field}: {ref.name} has no version {ref.version}: it has {has}", field=field)


def _versions_here(stores: ReleaseStores, name: str) -> tuple[int, ...]:
    """NVIDIA Triton lists a version when it has been asked to load it, so our own repository is looked at, too."""
    try:
        return stores.repository.versions(name)
    except ServingError:
        return ()


async def _check_tasks(stores: ReleaseStores, plan: Plan, stable: ModelRef) -> None:
    """A client that is given another arm reads its answer as it reads stable's."""
    tasks = {ref: await _task_of(stores, ref) for ref in {stable, *(arm.ref for arm in plan.arms)}}
    for field, ref in _fields(plan, stable).items():
        if None not in (tasks[ref], tasks[stable]) and tasks[ref] != tasks[stable]:
            raise InvalidInput(
                f"{field}: {ref} is a model for {tasks[ref]}, and {stable}, which answers for {plan.model}, one for "
                f"{tasks[stable]}: a release takes versions that answer in the same way",
                field=field,
            )


async def _task_of(stores: ReleaseStores, ref: ModelRef) -> str | None:
    """None where nobody here knows: the model server has not loaded it yet, and its repository is elsewhere."""
    try:
        config = await stores.client.config(ref)
    except ServingError:
        try:
            config = await asyncio.to_thread(stores.repository.config, ref.name)
        except ServingError:
            return None
    return config.parameters.get("task") or _CLASSIFICATION


def _fields(plan: Plan, stable: ModelRef) -> Mapping[str, ModelRef]:
    """Every version of a plan by where it stands there."""
    arms = {f"arms.{arm.name}" if plan.strategy is Strategy.AB else "candidate": arm.ref for arm in plan.arms}
    return {"stable": stable, **arms}
