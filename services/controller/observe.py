"""What one look sees: of the evidence an observation for each arm, of the fleet what `advance` asks for. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from services.shared.fleet.base import Desired, Heartbeat
from services.shared.fleet.live import has_followed, live, load_failure, warm_refs
from services.shared.model_ref import ModelRef
from services.shared.observations.base import Evidence
from services.shared.release.actions import Seen
from services.shared.release.arm_snapshot import ArmSnapshot
from services.shared.release.distinct_keys import DistinctKeysSnapshot
from services.shared.release.observation import ArmTotals, Observation, StepTotals
from services.shared.release.plan import Plan, Step, Strategy
from services.shared.release.release_counters import ArmKey
from services.shared.release.routing import SHADOW, STABLE, Sticky
from services.shared.release.state import ReleaseState, counted_step
from services.shared.release.verdict import Verdict
from services.shared.release_store.base import Release

CountKeys = Callable[[DistinctKeysSnapshot], float]  # about how many different keys there were
Keys = Mapping[int, tuple[tuple[float, ...], tuple[float, ...]]]  # step -> shares and distinct keys, stable first
_NOBODY = ArmSnapshot()


@dataclass(frozen=True, slots=True)
class FleetView:
    """The fleet at one moment. `warm` are the versions that may be asked wherever a request ends up, `loaded` and
    `defaults` those of the desired set: made once for all releases."""

    desired: Desired
    living: tuple[Heartbeat, ...]
    warm: frozenset[ModelRef]
    loaded: frozenset[ModelRef]
    defaults: frozenset[ModelRef]

    @classmethod
    def of(cls, desired: Desired, heartbeats: Iterable[Heartbeat], now: float) -> FleetView:
        return cls._of(desired, live(heartbeats, now))

    def with_desired(self, desired: Desired) -> FleetView:
        """After one's own write: nobody has followed it yet."""
        return self._of(desired, self.living)

    @classmethod
    def _of(cls, desired: Desired, living: tuple[Heartbeat, ...]) -> FleetView:
        defaults = frozenset(desired.defaults.values())
        return cls(desired, living, warm_refs(desired, living), frozenset(desired.loaded), defaults)


def refs_of(release: Release) -> frozenset[ModelRef]:
    """Every version that the release may still send a request to, or go back to."""
    state = release.state
    return frozenset({state.stable, state.default_before, *(arm.ref for arm in release.plan.arms)})


def users_of(releases: Iterable[Release]) -> Counter[ModelRef]:
    """How many of the releases need each version."""
    return Counter(ref for release in releases for ref in refs_of(release))


def seen_of(release: Release, fleet: FleetView, users: Counter[ModelRef], verdict: Verdict, idle_s: float) -> Seen:
    """`users` counts this release too, as long as it is not settled."""
    plan, desired = release.plan, fleet.desired
    arms = tuple(dict.fromkeys(arm.ref for arm in plan.arms))
    return Seen(
        verdict=verdict,
        idle_s=idle_s,
        desired=fleet.loaded,
        warm=fleet.warm,
        needed=fleet.defaults.union(ref for ref in arms if users[ref] > 1),
        load_failed=load_failure(desired, fleet.living, arms),
        default=desired.defaults.get(plan.model),
        followed=has_followed(fleet.living, routing_revision=release.revision, desired_revision=desired.revision),
    )


def in_force(plan: Plan, step: int) -> Step | None:
    """The step whose weights, or shadow, are in force in this one: itself, or for one that only waits the last before
    it. None where nobody is let in yet, and in the hold."""
    if step >= len(plan.steps):
        return None
    return next((planned for planned in reversed(plan.steps[: step + 1]) if not planned.pause), None)


def observe(
    plan: Plan,
    state: ReleaseState,
    evidence: Evidence,
    keys: Keys,
    queries: Sequence[Mapping[str, tuple[float, float]]],
    before: Sequence[Observation] = (),
) -> tuple[Observation, ...]:
    """One for each arm, in the plan's order, as `queries` are; none while nobody is let in, and when all is taken back.

    Steps in which neither arm was asked anything are left out, but for the current one. While the release's cells are
    not known, no prediction is shown by class (see `prediction_cells.py`). Steps that are as they were in the
    observations `before` are the same objects.
    """
    current = counted_step(plan, state)
    if current > len(plan.steps):
        return ()
    found = []
    for arm, values, last in zip(plan.arms, queries, before or (None,) * len(plan.arms), strict=True):
        seen = {} if last is None else {totals.step: totals for totals in last.steps}
        steps = (
            _step_totals(plan, state, evidence, arm.name, step, keys.get(step, ((), ()))) for step in range(current + 1)
        )
        known = tuple(_as_before(totals, seen) for totals in steps if totals.step == current or _asked(totals))
        found.append(Observation(known, state.cells, values))
    return tuple(found)


def _as_before(totals: StepTotals, seen: Mapping[int, StepTotals]) -> StepTotals:
    last = seen.get(totals.step)
    return last if last is not None and last == totals else totals


def _step_totals(
    plan: Plan,
    state: ReleaseState,
    evidence: Evidence,
    arm: str,
    step: int,
    keys: tuple[tuple[float, ...], tuple[float, ...]],
) -> StepTotals:
    planned = in_force(plan, step)
    mirrored = planned is not None and planned.shadow > 0
    stable, candidate = (
        _totals(evidence, ArmKey(state.release, step, name), known_cells=bool(state.cells))
        for name in (STABLE, SHADOW if mirrored else arm)
    )
    return StepTotals(step, stable, candidate, shadow=mirrored, shares=keys[0], keys=keys[1])


def _totals(evidence: Evidence, key: ArmKey, *, known_cells: bool) -> ArmTotals:
    snapshot = evidence.totals.arms.get(key, _NOBODY)
    if not known_cells and snapshot.classified:
        snapshot = replace(snapshot, classes={}, other_classes=0)
    told = evidence.feedback.get(key)
    return ArmTotals(snapshot) if told is None else ArmTotals(snapshot, told.labelled, told.right, told.rewards)


def _asked(totals: StepTotals) -> bool:
    return bool(totals.stable.snapshot.requests or totals.candidate.snapshot.requests)


def keys_by_step(plan: Plan, state: ReleaseState, evidence: Evidence, count_keys: CountKeys) -> Keys:
    """Of the steps until now that split keys between the arms, and in which somebody came."""
    found = {}
    steps = min(counted_step(plan, state) + 1, len(plan.steps)) if plan.sticky is Sticky.KEY else 0
    for step in range(steps):
        planned = in_force(plan, step)
        arms = (STABLE, *(arm.name for arm in plan.arms))
        known = [evidence.totals.arms.get(ArmKey(state.release, step, name)) for name in arms]
        if planned is None or planned.shadow or not any(known):
            continue
        counts = tuple(0.0 if snapshot is None else count_keys(snapshot.keys) for snapshot in known)
        found[step] = (_shares(plan, planned), counts)
    return found


def _shares(plan: Plan, planned: Step) -> tuple[float, ...]:
    weights = [arm.weight for arm in plan.arms] if plan.strategy is Strategy.AB else [planned.weight]
    rest = max(100.0 - sum(weights), 0.0)
    return tuple(weight / (rest + sum(weights)) for weight in (rest, *weights))
