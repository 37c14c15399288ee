"""A controller over stores in memory, a clock that is moved, and API processes that route, count, load and report."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace

from services.controller.counters import ControllerCounters
from services.controller.lease import Leadership, MemoryLease
from services.controller.tick import Controller, Looked, Stores
from services.shared.clock import ManualClock
from services.shared.fleet.base import Desired, Heartbeat, RefReport
from services.shared.fleet.memory import MemoryFleetStore
from services.shared.model_ref import ModelRef
from services.shared.observations.memory import MemoryObservationStore
from services.shared.release.actions import Seen
from services.shared.release.advance import Event, advance, begun
from services.shared.release.arm_counters import ArmCounters
from services.shared.release.commands import Command, CommandKind
from services.shared.release.plan import Plan
from services.shared.release.release_counters import ReleaseCounters
from services.shared.release.routing import ReleaseRouting, choose
from services.shared.release.state import Phase, ReleaseState, routing_of
from services.shared.release_store.base import Release
from services.shared.release_store.memory import MemoryReleaseStore
from tests.support.release_plans import STABLE, pending


class ScriptedQueries:
    """Answers of a Prometheus: `values` by query, told anew whenever `number` rises."""

    def __init__(self) -> None:
        self.number = 0
        self.values: dict[str, float] = {}

    def value(self, query: str) -> float | None:
        return self.values.get(query)


class FakeApi:
    """A process that routes by what it last followed, and counts. `fails` are shares of errors, `slow` factors of a
    latency of 10 ms, `classes` what is answered, each by version; `broken` are versions that cannot be loaded."""

    def __init__(self, bench: Bench, name: str) -> None:
        self.bench, self.name = bench, name
        self.counters = ReleaseCounters()
        self.routings: dict[str, ReleaseRouting] = {}
        self.revision = -1
        self.fails: Mapping[ModelRef, float] = {}
        self.slow: Mapping[ModelRef, float] = {}
        self.classes: Mapping[ModelRef, int] = {}
        self.broken: dict[ModelRef, str] = {}

    async def follow(self) -> None:
        """Takes over what the stores say, loads what is wanted, and beats."""
        known = await self.bench.releases.list()
        found = {model: routing_of(release.plan, release.state) for model, release in known.by_model.items()}
        self.routings = {model: routing for model, routing in found.items() if routing is not None}
        self.revision = known.revision
        await self.beat()

    async def beat(self) -> None:
        desired = await self.bench.fleet.desired()
        reports = {
            ref: RefReport(generation, "failed" if ref in self.broken else "loaded", self.broken.get(ref, ""))
            for ref, generation in desired.loaded.items()
        }
        now = self.bench.clock.now()
        await self.bench.fleet.beat(Heartbeat(self.name, now, desired.revision, reports, self.revision))

    async def serve(self, model: str, requests: int) -> None:
        """So many requests with keys of their own, and what they said published."""
        source, routing = self.bench.random, self.routings.get(model)
        for _ in range(requests if routing is not None else 0):
            assert routing is not None
            key_hash = routing.hash_of(source.randbytes(8))
            route = choose(routing, key_hash)
            self._count(route.ref, self.counters.of(route), key_hash)
            if route.shadow is not None:
                shadow = self.counters.shadow_of(route)
                self._count(route.shadow, shadow, key_hash)
                if shadow is not None:
                    shadow.compare(self.classes.get(route.shadow, 1) != self.classes.get(route.ref, 1))
        await self.bench.observations.publish(self.name, self.counters.snapshot())

    def _count(self, ref: ModelRef, arm: ArmCounters | None, key_hash: int) -> None:
        source = self.bench.random
        assert arm is not None
        arm.begin()
        if source.random() < self.fails.get(ref, 0.0):
            arm.observe_error("InferenceFailed", key_hash)
            return
        latency_s = 0.01 * self.slow.get(ref, 1.0) * source.lognormvariate(0, 0.1)
        arm.observe(latency_s, key_hash, self.classes.get(ref, source.randrange(10)), 0.9)


class Bench:
    """Controllers share the stores, the clock and the lease. At first `digits` means STABLE, and it alone is loaded."""

    def __init__(self) -> None:
        self.clock, self.random = ManualClock(), random.Random(1)
        self.releases, self.observations = MemoryReleaseStore(), MemoryObservationStore()
        self.fleet, self.lease, self.queries = MemoryFleetStore(), MemoryLease(self.clock), ScriptedQueries()
        self.api = FakeApi(self, "api-1")
        self.leadership, self.counters, self.controller = self.another("controller-1")

    def another(self, name: str) -> tuple[Leadership, ControllerCounters, Controller]:
        """A further controller, which stands by until it is told to renew."""
        leadership, counters = Leadership(self.lease, name, self.clock), ControllerCounters()
        stores = Stores(self.releases, self.observations, self.fleet)
        return leadership, counters, Controller(stores, self.queries, leadership, counters, self.clock)

    async def begin(self, plan: Plan, release: str = "r-1") -> ReleaseState:
        """The release is there, the process lives, and the controller leads."""
        await self.fleet.put(Desired(0, {STABLE: 1}, {plan.model: STABLE}), expected_revision=0)
        await self.api.follow()
        await self.leadership.renew()
        state = replace(pending(plan, release), created_at=self.clock.now(), since=self.clock.now())
        await self.releases.put(Release(plan, state), expected_revision=0, event=begun(state, "ann"))
        return state

    async def second(self, requests: int = 200, *, model: str = "digits") -> Looked:
        """A second of the world: requests, a heartbeat, a look."""
        self.clock.advance(1.0)
        await self.api.follow()
        await self.api.serve(model, requests)
        await self.leadership.renew()
        return await self.controller.look()

    async def seconds_until(self, *phases: Phase, most: int = 400, requests: int = 200) -> ReleaseState:
        """Until the release is in one of these phases, a person resuming it whenever it pauses for one."""
        for _ in range(most):
            state = await self.state()
            if state.phase in phases:
                return state
            if state.phase is Phase.PAUSED and "waits for a person" in state.reason:
                await self.command(CommandKind.RESUME)
            await self.second(requests)
        raise AssertionError(f"it never came to {phases}: {await self.state()}, {await self.log()}")

    async def command(self, kind: CommandKind, arm: str = "") -> None:
        """As an API process obeys a person."""
        release = await self.releases.get("digits")
        desired = await self.fleet.desired()
        seen = Seen(warm=frozenset(desired.loaded), desired=frozenset(desired.loaded))
        done = advance(release.plan, release.state, seen, Command(kind, "ann", arm), self.clock.now())
        assert not done.refused
        await self.releases.put(
            replace(release, state=done.state), expected_revision=release.revision, event=done.event
        )

    async def state(self, model: str = "digits") -> ReleaseState:
        return (await self.releases.get(model)).state

    async def log(self, model: str = "digits") -> tuple[Event, ...]:
        return await self.releases.events(model)

    async def loaded(self) -> set[ModelRef]:
        return set((await self.fleet.desired()).loaded)

    async def default(self, model: str = "digits") -> ModelRef:
        return (await self.fleet.desired()).defaults[model]
