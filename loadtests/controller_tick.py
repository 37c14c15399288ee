"""How long a controller's look takes, with live evidence in a real server: `python -m loadtests.controller_tick`.

Every release is a canary with four guardrails at its second weight, of which each serving process publishes new totals
before every look: the worst that a controller sees. Of more than AT_ONCE releases a look judges a part, and all are
judged within a second (`controller/evidence_in_turns.py`). `quiet` looks have nothing new but that. Wall time of the
whole look, in milliseconds: the release store, the evidence, the fleet's files, the verdicts, and what is kept.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from services.controller.counters import ControllerCounters
from services.controller.lease import Leadership, MemoryLease
from services.controller.process import GARBAGE_OBJECTS
from services.controller.queries import NoQueries
from services.controller.tick import Controller, Stores
from services.shared.clock import SystemClock
from services.shared.embedded_valkey import valkey_command, valkey_socket, valkey_url
from services.shared.fleet.base import Desired, Heartbeat, RefReport
from services.shared.fleet.file import FileFleetStore
from services.shared.model_ref import ModelRef
from services.shared.observations.recent_keys import RecentKeys
from services.shared.observations.redis import RedisObservationStore
from services.shared.release.arm_snapshot import ArmSnapshot
from services.shared.release.distinct_keys import DistinctKeys, DistinctKeysSnapshot
from services.shared.release.latency_histogram import BUCKETS, LatencySnapshot
from services.shared.release.parse_plan import parse_plan
from services.shared.release.plan import Plan
from services.shared.release.release_counters import ArmKey, ReleaseSnapshot
from services.shared.release.state import Phase, begin
from services.shared.release_memory import settle_garbage
from services.shared.release_store.base import NEVER, Release
from services.shared.release_store.redis import RedisReleaseStore

CLASSES = 10
STEPS = ((0, "shadow", 100), (0, "stable", 100), (1, "candidate", 10), (1, "stable", 190), (2, "candidate", 50))
LIVE = ((2, "candidate", 50), (2, "stable", 150))  # step, arm, requests a second over all processes
DONE_S = 60


def plan_of(model: str) -> Plan:
    return parse_plan(
        {
            "model": model,
            "candidate": {"model": f"{model}_int8", "version": 1},
            "strategy": "canary",
            "steps": [{"shadow": 50, "for": "60s"}, {"weight": 5, "for": "1h"}, {"weight": 25, "for": "24h"}],
            "guardrails": [
                {"metric": "error_rate", "max_increase": 0.005},
                {"metric": "latency_p95", "max_ratio": 1.2},
                {"metric": "disagreement", "max": 0.02},
                {"metric": "prediction_shift", "max": 0.1},
            ],
        }
    )


class World:
    """Releases in the stores, and processes that publish about them."""

    def __init__(self, stores: Stores, releases: int, processes: int) -> None:
        self.stores, self.processes = stores, processes
        self.names = [f"model{number}" for number in range(releases)]
        self.rng = np.random.default_rng(1)
        self.arms: list[dict[ArmKey, ArmSnapshot]] = [{} for _ in range(processes)]
        self.keys = [RecentKeys() for _ in range(processes)]
        self.seconds = 0

    async def begin(self) -> None:
        refs = [ModelRef(name, 1) for name in self.names] + [ModelRef(f"{name}_int8", 1) for name in self.names]
        before = await self.stores.fleet.desired()
        defaults = {name: ModelRef(name, 1) for name in self.names}
        desired = Desired(before.revision, dict.fromkeys(refs, 1), defaults)
        await self.stores.fleet.put(desired, expected_revision=before.revision)
        now = time.time()
        for name in self.names:
            plan = plan_of(name)
            state = begin(plan, f"r-{name}", bytes(16), default=defaults[name], loaded=refs, now=now)
            state = replace(
                state, phase=Phase.PROGRESSING, step=2, weights=(25.0,), since=now, cells=tuple(range(CLASSES))
            )
            await self.stores.releases.put(Release(plan, state), expected_revision=0)
        for step, arm, per_s in STEPS:
            self._count(step, arm, per_s * DONE_S)

    async def second(self) -> None:
        """What happens between two looks."""
        for step, arm, per_s in LIVE:
            self._count(step, arm, per_s)
        self.seconds += 1
        for number, (arms, keys) in enumerate(zip(self.arms, self.keys, strict=True)):
            told = keys.of(ReleaseSnapshot(arms), float(self.seconds))  # as a serving process does
            await self.stores.observations.publish(f"api-{number}", told)
        await self.beat()

    async def beat(self) -> None:
        desired = await self.stores.fleet.desired()
        revision = (await self.stores.releases.list()).revision
        reports = {ref: RefReport(generation, "loaded") for ref, generation in desired.loaded.items()}
        for number in range(self.processes):
            await self.stores.fleet.beat(Heartbeat(f"api-{number}", time.time(), desired.revision, reports, revision))

    def _count(self, step: int, arm: str, requests: int) -> None:
        for arms in self.arms:
            more = self._snapshot(step, arm, max(requests // self.processes, 1))
            for name in self.names:
                key = ArmKey(f"r-{name}", step, arm)
                arms[key] = arms[key].merge(more) if key in arms else more

    def _snapshot(self, step: int, arm: str, requests: int) -> ArmSnapshot:
        rng, shadow = self.rng, arm == "shadow"
        failed = int(rng.binomial(requests, 0.004))
        buckets = np.clip(rng.normal(150, 10, requests - failed).astype(int), 0, BUCKETS - 1)
        latency = LatencySnapshot(tuple(np.bincount(buckets, minlength=BUCKETS).tolist()), requests)
        classes = dict(enumerate(rng.multinomial(requests - failed, np.full(CLASSES, 1 / CLASSES)).tolist()))
        keys = DistinctKeys()
        for key_hash in rng.integers(0, 2**63, requests).tolist():
            keys.add(key_hash)
        return ArmSnapshot(
            requests, {"InferenceFailed": failed}, 0, latency, classes,
            keys=DistinctKeysSnapshot() if shadow else keys.snapshot(), compared=requests if shadow else 0,
        )  # fmt: skip


async def measure(url: str, data_dir: Path, releases: int, processes: int, looks: int) -> dict[str, list[float]]:
    clock, counters = SystemClock(), ControllerCounters()
    stores = Stores(RedisReleaseStore(url), RedisObservationStore(url), FileFleetStore(data_dir / f"fleet{releases}"))
    leadership = Leadership(MemoryLease(clock), "controller", clock)
    controller = Controller(stores, NoQueries(), leadership, counters, clock)
    world = World(stores, releases, processes)
    await world.begin()
    settle_garbage(GARBAGE_OBJECTS)
    measured: dict[str, list[float]] = {"live": [], "quiet": []}
    seen = NEVER
    for number in range(looks + 2):
        await world.second()
        for kind in ("live", "quiet"):
            await leadership.renew()
            began = time.perf_counter()
            seen = (await controller.look(await stores.releases.changed(seen, timeout_s=0))).revision
            if number >= 2:  # the first ones import, and take over all that was before
                measured[kind].append(1000 * (time.perf_counter() - began))
    if counters.errors:
        raise SystemExit(f"{counters.errors} looks at a release failed")
    await stores.observations.close()
    await stores.releases.close()
    return measured


@contextmanager
def running_server(data_dir: Path) -> Iterator[str]:
    command = valkey_command(data_dir)
    if command is None:
        raise SystemExit("no Valkey server was found")
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        while not valkey_socket(data_dir).exists():
            time.sleep(0.01)
        yield valkey_url(data_dir)
    finally:
        process.terminate()
        process.wait(10)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--releases", type=int, nargs="+", default=[1, 10, 100])
    parser.add_argument("--processes", type=int, default=2, help="that publish evidence")
    parser.add_argument("--looks", type=int, default=15)
    arguments = parser.parse_args()
    table = Table("releases", "looks", "median ms", "p95", "most")
    for releases in arguments.releases:
        with tempfile.TemporaryDirectory() as directory, running_server(Path(directory)) as url:
            measured = asyncio.run(measure(url, Path(directory), releases, arguments.processes, arguments.looks))
        for kind, times in measured.items():
            figures = (statistics.median(times), float(np.quantile(times, 0.95)), max(times))
            table.add_row(str(releases), kind, *(f"{figure:.1f}" for figure in figures))
    Console().print(table)


if __name__ == "__main__":
    main()
