"""Both stores in step through random histories, held against a model that knows only leases and results."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from services.shared.clock import ManualClock
from services.shared.errors import NotFound, ServingError
from services.shared.jobs.base import LEASE_S, WEBHOOK_LEASE_S, JobStore
from services.shared.jobs.job import ItemResult, JobState, Lease, Outcome
from services.shared.jobs.memory import MemoryJobStore
from services.shared.jobs.redis import RedisJobStore
from services.shared.jobs.retry import Caps
from services.shared.priority import Priority
from tests.support.jobs import answers, new_job
from tests.support.valkey import ValkeyServer, running_valkey

CAPS = Caps(strikes=2, attempts=4)


class Histories(RuleBasedStateMachine):
    """Workers that claim, work, stall, die and come back late; owners that submit, cancel and requeue.

    The model: a chunk's newest lease may write as long as nobody took it back and its job goes on.
    """

    url = ""
    leases = Bundle("leases")
    jobs = Bundle("jobs")

    @initialize()
    def begin(self) -> None:
        self.runner = asyncio.Runner()
        self.clock = ManualClock()
        with redis.Redis.from_url(self.url) as plain:
            plain.flushall()
        memory = MemoryJobStore(self.clock, caps=CAPS, max_waiting_items=60)
        shared = RedisJobStore(self.url, clock=self.clock, caps=CAPS, max_waiting_items=60)
        self.stores: tuple[JobStore, JobStore] = (memory, shared)
        self.submitted = 0
        self.totals: dict[str, int] = {}
        self.written: dict[tuple[str, int], ItemResult] = {}
        self.held: dict[int, Lease] = {}  # by token: leases that may write
        self.completed: set[int] = set()
        self.reopened: set[str] = set()
        self.stopped: set[str] = set()
        self.told: set[str] = set()  # delivery ids that were delivered or given up

    def both(self, call: Callable[[JobStore], Awaitable[Any]]) -> Any:
        """What both stores answer, which must be the same: a value, or an error's class."""

        async def one(store: JobStore) -> Any:
            try:
                return await call(store)
            except ServingError as error:
                return type(error), error.detail

        first, second = (self.runner.run(one(store)) for store in self.stores)
        assert first == second
        return first

    @rule(
        target=jobs,
        items=st.integers(1, 7),
        chunk=st.integers(1, 4),
        priority=st.sampled_from(list(Priority)),
        key=st.sampled_from([None, None, "k"]),
        deadline_s=st.sampled_from([None, None, 8.0]),
    )
    def submit(self, items: int, chunk: int, priority: Priority, key: str | None, deadline_s: float | None) -> Any:
        deadline_at = None if deadline_s is None else self.clock.now() + deadline_s
        self.submitted += 1  # the same ids in every run: a history must repeat itself
        job_id = f"job{self.submitted:03}"
        new = new_job(
            items,
            chunk,
            priority=priority,
            key=key,
            deadline_at=deadline_at,
            job_id=job_id,
            callback_url="https://x.org",
        )
        created = self.both(lambda store: store.create(new))
        if isinstance(created, tuple) or not created.is_new:
            return multiple()
        self.totals[new.job_id] = items
        return new.job_id

    @rule(target=leases, worker=st.sampled_from("ab"))
    def claim(self, worker: str) -> Any:
        lease = self.both(lambda store: store.claim(worker))
        if lease is None:
            return multiple()
        others = [one for one in self.held.values() if one.job_id == lease.job_id]
        assert not set(lease.chunk.indices) & {index for one in others for index in one.chunk.indices}
        assert not any((lease.job_id, index) in self.written for index in lease.chunk.indices)
        self.held[lease.token] = lease
        return lease

    @rule(lease=leases, bad=st.sets(st.integers(0, 6)))
    def complete(self, lease: Lease, bad: set[int]) -> None:
        results = answers(lease, bad)
        settled = self.both(lambda store: store.complete(lease, results))
        if self.held.pop(lease.token, None):
            self.completed.add(lease.token)
            self.written.update({(lease.job_id, result.index): result for result in results})
        # Whoever has completed may say so again, which changes nothing: `every_result_counts_once` sees that.
        if lease.token not in self.completed:
            assert settled.outcome is Outcome.LOST
        elif lease.job_id not in self.reopened:
            assert settled.outcome is Outcome.COMPLETED

    @rule(lease=leases)
    def renew(self, lease: Lease) -> None:
        renewed = self.both(lambda store: store.renew(lease))
        assert (renewed is not None) == (lease.token in self.held)
        if renewed:
            self.held[lease.token] = renewed

    @rule(lease=consumes(leases), strike=st.booleans(), wait_s=st.sampled_from([0.0, 3.0]))
    def release(self, lease: Lease, strike: bool, wait_s: float) -> None:
        settled = self.both(lambda store: store.release(lease, retry_in_s=wait_s, reason="why", strike=strike))
        assert (settled.outcome is not Outcome.LOST) == (self.held.pop(lease.token, None) is not None)

    @rule(seconds=st.sampled_from([0.5, 2.0, LEASE_S]))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule()
    def reap(self) -> None:
        reaped = self.both(lambda store: store.reap())
        self.forget_ended()
        lapsed = [token for token, lease in self.held.items() if lease.lapses_at <= self.clock.now()]
        assert reaped.lapsed == len(lapsed)
        for token in lapsed:
            del self.held[token]

    @rule(target=leases, worker=st.sampled_from("ab"))
    def stall_until_others_take_over(self, worker: str) -> Any:
        """Every worker stops for longer than a lease, and one of them comes back to what was theirs."""
        self.clock.advance(LEASE_S)
        self.reap()
        return self.claim(worker)

    @rule(job_id=jobs)
    def cancel(self, job_id: str) -> None:
        self.both(lambda store: store.cancel(job_id, owner="ann"))

    @rule(data=st.data())
    def requeue(self, data: st.DataObject) -> None:
        letters = self.both(lambda store: store.dead())
        if letters:
            letter = data.draw(st.sampled_from(letters))
            self.both(lambda store: store.requeue(letter.dead_id))
            self.reopened.add(letter.job_id)

    @rule(end=st.sampled_from(["delivered", "tried later", "given up", "its sender dies"]))
    def tell(self, end: str) -> None:
        self.tell_next(end)

    def tell_next(self, end: str) -> bool:
        webhook = self.both(lambda store: store.claim_webhook())
        if webhook is None:
            return False
        assert webhook.job.state.ended
        assert webhook.delivery_id not in self.told
        if end == "its sender dies":
            return True
        if end == "delivered":
            assert self.both(lambda store: store.webhook_delivered(webhook))
        else:
            wait_s = 3.0 if end == "tried later" else None
            assert self.both(lambda store: store.webhook_failed(webhook, retry_in_s=wait_s))
        if end != "tried later":
            self.told.add(webhook.delivery_id)
        return True

    def forget_ended(self) -> None:
        """Takes over from the store which jobs were cancelled or late; a lease of them is worth nothing."""
        for job_id in self.totals:
            if self.both(lambda store, one=job_id: store.get(one, owner=None)).state in (  # type: ignore[misc]
                JobState.CANCELLED,
                JobState.EXPIRED,
            ):
                self.stopped.add(job_id)
        self.held = {token: lease for token, lease in self.held.items() if lease.job_id not in self.stopped}

    @invariant()
    def every_result_counts_once(self) -> None:
        if not hasattr(self, "stores"):
            return
        self.forget_ended()
        self.both(lambda store: store.stats())
        for job_id, total in self.totals.items():
            job = self.both(lambda store, one=job_id: store.get(one, owner="ann"))  # type: ignore[misc]
            # Results behind a gap are seen only from there on.
            pages = [self.both(lambda s, one=job_id, i=i: s.results(one, owner=None, start=i)) for i in range(total)]  # type: ignore[misc]
            found = {result.index: result for page in pages for result in page.results}
            assert job.done + job.failed == len(found)
            assert job.failed == sum(result.error is not None for result in found.values())
            assert job.state.ended == (len(found) == total or job_id in self.stopped)
            for index, result in found.items():
                written = self.written.get((job_id, index))
                abandoned = result.error is not None and result.error.cause == "abandoned"
                assert (
                    abandoned if written is None else (written.result, written.error) == (result.result, result.error)
                )
            assert {index for one, index in self.written if one == job_id} <= found.keys()

    def teardown(self) -> None:
        if not hasattr(self, "stores"):
            return
        try:
            self.finish()
        finally:
            self.runner.run(self.stores[1].close())
            self.runner.close()

    def finish(self) -> None:
        """Whatever happened: workers that work bring every job to its end."""
        for _ in range(400):
            lease = self.both(lambda store: store.claim("last"))
            if lease is not None:
                self.held[lease.token] = lease
                self.complete(lease, set())
            elif self.both(lambda store: store.stats()).active_jobs == 0:
                break
            else:
                self.clock.advance(LEASE_S)
                self.reap()
        stats = self.both(lambda store: store.stats())
        assert (stats.active_jobs, stats.running, stats.delayed) == (0, 0, 0)
        assert [(depth.chunks, depth.items) for depth in stats.depths] == [(0, 0)] * 3
        self.every_result_counts_once()
        self.clock.advance(WEBHOOK_LEASE_S)
        while self.tell_next("delivered"):
            pass
        assert {delivery.rpartition("-")[0] for delivery in self.told} == self.totals.keys()
        for job_id in self.totals:
            self.both(lambda store, one=job_id: store.purge(one, owner="ann"))  # type: ignore[misc]
        self.runner.run(self.nothing_is_left())

    async def nothing_is_left(self) -> None:
        shared = self.stores[1]
        for swept in await shared.sweep(limit=1000):
            assert len(swept.blob_ids) == self.totals.pop(swept.job_id)
            await shared.forget(swept.job_id)
        assert not self.totals
        with pytest.raises(NotFound):
            await shared.get("any", owner=None)
        with redis.Redis.from_url(self.url) as plain:
            left = {key.decode() for key in plain.keys("*")}
        counters = {f"grayscale:jobs:{name}" for name in ("seq", "token", "totals", "gauges")}
        assert {key for key in left if ":idempotency:" not in key} <= counters


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    with running_valkey(tmp_path_factory.mktemp("valkey")) as running:
        yield running


def test_whatever_happens_every_item_gets_exactly_one_result(server: ValkeyServer) -> None:
    class OnServer(Histories):
        url = server.url

    run_state_machine_as_test(
        OnServer,
        settings=settings(
            max_examples=30,
            stateful_step_count=40,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
