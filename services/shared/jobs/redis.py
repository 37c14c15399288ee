"""Jobs in Redis or Valkey. Every change is one script in `lua/`; `lua/prelude.lua` says which keys there are.

The scripts name their keys themselves, so a cluster is refused. They work in O(log n) of what waits, apart from
accepting, ending and forgetting a job, which go once over its items or chunks.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from redis.exceptions import RedisError

from services.shared.cancellation import heeding_cancellation
from services.shared.clock import Clock
from services.shared.errors import Conflict, Unavailable
from services.shared.jobs.base import (
    ABANDONED,
    IDEMPOTENCY_S,
    LAPSED,
    LEASE_S,
    MAX_WAITING_ITEMS,
    RESULTS_S,
    WEBHOOK_LEASE_S,
    another_request,
    check_page,
    check_results,
    no_such_dead_letter,
    no_such_job,
    queue_full,
)
from services.shared.jobs.document import item_from_json, result_from_json, result_to_json
from services.shared.jobs.job import (
    Created,
    DeadLetter,
    ItemError,
    ItemResult,
    Job,
    JobState,
    Lease,
    NewJob,
    Outcome,
    Reaped,
    ResultPage,
    Settled,
    StoreStats,
    Swept,
)
from services.shared.jobs.plan import blob_ids_of, cannot_reopen, chunks_of, page_of
from services.shared.jobs.redis_wire import (
    Argument,
    asked_by,
    create_arguments,
    dead_letter_from,
    job_from,
    lease_arguments,
    lease_from,
    milliseconds,
    stats_from,
    webhook_from,
)
from services.shared.jobs.retry import Caps
from services.shared.jobs.webhook import Webhook
from services.shared.redis_url import close_redis_client, parse_redis_url, redis_client

_SCRIPTS = Path(__file__).parent / "lua"
_REAPED_AT_ONCE = 1000
_ASKED_AT_ONCE = 1000


class RedisJobStore:
    """A JobStore that all processes share.

    Without a `clock` the server's own counts. That is the safer one: with the callers' clocks a worker whose clock is
    ahead by a lease would take every other worker's chunks away.
    """

    def __init__(
        self,
        url: str,
        *,
        clock: Clock | None = None,
        caps: Caps | None = None,
        results_s: float = RESULTS_S,
        max_waiting_items: int = MAX_WAITING_ITEMS,
        timeout_s: float = 5.0,
    ) -> None:
        self._redis = redis_client(parse_redis_url(url), timeout_s=timeout_s)
        prelude = (_SCRIPTS / "prelude.lua").read_text()
        paths = [path for path in _SCRIPTS.glob("*.lua") if path.stem != "prelude"]
        self._scripts = {path.stem: self._redis.register_script(prelude + path.read_text()) for path in paths}
        caps = caps or Caps()
        self._rules = (milliseconds(LEASE_S), milliseconds(results_s), caps.strikes, caps.attempts)
        self._clock = clock
        self._max_waiting_items = max_waiting_items

    async def close(self) -> None:
        await close_redis_client(self._redis)

    async def create(self, new: NewJob) -> Created:
        chunks = chunks_of(len(new.items), new.chunk_size)
        arguments = create_arguments(
            new, chunks, max_waiting_items=self._max_waiting_items, idempotency_s=IDEMPOTENCY_S
        )
        what, *detail = await self._run("create", *arguments)
        if what == b"conflict":
            raise another_request(new.idempotency.key if new.idempotency else "")
        if what == b"full":
            raise queue_full(detail[0], self._max_waiting_items)
        return Created(job_from(detail[0]), is_new=what == b"new")

    async def get(self, job_id: str, *, owner: str | None) -> Job:
        return _job_or_raise(job_id, await self._run("read", job_id, asked_by(owner)))

    async def list(self, *, owner: str | None, limit: int = 50, before: str | None = None) -> tuple[Job, ...]:
        check_page(limit)
        found = await self._run("list", asked_by(owner), limit, before or "")
        if found is None:
            raise no_such_job(before or "")
        return tuple(map(job_from, found))

    async def results(self, job_id: str, *, owner: str | None, start: int = 0, limit: int = 100) -> ResultPage:
        check_page(limit, start)
        answer = await self._run("results", job_id, asked_by(owner), start, limit)
        if answer is None:
            raise no_such_job(job_id)
        state, total, items, documents = answer
        found = [
            None if document is None else result_from_json(start + i, item_from_json(item).name, document)
            for i, (item, document) in enumerate(zip(items, documents, strict=True))
        ]
        return page_of(JobState(state.decode()), start, total, found)

    async def cancel(self, job_id: str, *, owner: str | None) -> Job:
        return _job_or_raise(job_id, await self._run("stop", job_id, asked_by(owner), "cancel"))

    async def purge(self, job_id: str, *, owner: str | None) -> None:
        _job_or_raise(job_id, await self._run("stop", job_id, asked_by(owner), "purge"))

    async def claim(self, worker_id: str) -> Lease | None:
        answer = await self._run("claim", worker_id)
        return None if answer is None else lease_from(answer, worker_id)

    async def renew(self, lease: Lease) -> Lease | None:
        lapses_ms = await self._run("renew", *lease_arguments(lease))
        return replace(lease, lapses_at=lapses_ms / 1000) if lapses_ms else None

    async def complete(self, lease: Lease, results: Sequence[ItemResult]) -> Settled:
        check_results(lease, results)
        ordered = sorted(results, key=lambda result: result.index)
        flags = "".join("d" if result.error is None else "f" for result in ordered)
        return _settled(await self._run("complete", *lease_arguments(lease), flags, *map(result_to_json, ordered)))

    async def release(self, lease: Lease, *, retry_in_s: float, reason: str, strike: bool) -> Settled:
        wait_ms = max(0, milliseconds(retry_in_s))
        words = (int(strike), wait_ms, reason, _buried(reason))
        return _settled(await self._run("release", *lease_arguments(lease), *words))

    async def reap(self) -> Reaped:
        lapsed, due, ended = await self._run("reap", LAPSED, _buried(LAPSED), _REAPED_AT_ONCE)
        return Reaped(lapsed, due, tuple(sorted(job_id.decode() for job_id in ended)))

    async def dead(self, *, limit: int = 100, start: int = 0) -> tuple[DeadLetter, ...]:
        check_page(limit, start)
        return tuple(map(dead_letter_from, await self._run("dead", start, limit)))

    async def requeue(self, dead_id: str) -> Job:
        job_id, _, index = dead_id.rpartition(":")
        answer = await self._run("requeue", job_id, index) if index.isdecimal() else None
        if answer is None:
            raise no_such_dead_letter(dead_id)
        what, flat = answer
        job = job_from(flat)
        if what == b"refused":
            raise Conflict(cannot_reopen(job, math.inf) or "")
        return job

    async def sweep(self, *, limit: int = 100) -> tuple[Swept, ...]:
        check_page(limit)
        swept = await self._run("sweep", limit)
        return tuple(
            Swept(job_id.decode(), blob_ids_of(item_from_json(item) for item in items)) for job_id, items in swept
        )

    async def forget(self, job_id: str) -> None:
        await self._run("forget", job_id)

    async def unknown(self, job_ids: Sequence[str]) -> tuple[str, ...]:
        pages = [job_ids[at : at + _ASKED_AT_ONCE] for at in range(0, len(job_ids), _ASKED_AT_ONCE)]
        return tuple([job_id.decode() for page in pages for job_id in await self._run("unknown", *page)])

    async def turn(self, duty: str, every_s: float) -> bool:
        return bool(await self._run("turn", duty, milliseconds(every_s)))

    async def claim_webhook(self) -> Webhook | None:
        answer = await self._run("claim_webhook", milliseconds(WEBHOOK_LEASE_S))
        return None if answer is None else webhook_from(answer)

    async def webhook_delivered(self, webhook: Webhook) -> bool:
        return bool(await self._run("settle_webhook", webhook.job.job_id, webhook.token, "delivered", 0))

    async def webhook_failed(self, webhook: Webhook, *, retry_in_s: float | None) -> bool:
        what, wait_s = ("given_up", 0.0) if retry_in_s is None else ("retry", max(0.0, retry_in_s))
        return bool(await self._run("settle_webhook", webhook.job.job_id, webhook.token, what, milliseconds(wait_s)))

    async def stats(self) -> StoreStats:
        return stats_from(await self._run("stats"))

    async def _run(self, name: str, *arguments: Argument) -> Any:
        """A script's answer; raises Unavailable when the server cannot be asked or has no room."""
        now: Argument = "" if self._clock is None else milliseconds(self._clock.now())
        try:
            script = self._scripts[name]
            return await heeding_cancellation(script(args=(now, *self._rules, *arguments)))
        except (RedisError, OSError) as error:
            raise Unavailable(f"the job store cannot be used: {error}", retry_after_s=5) from error


def _job_or_raise(job_id: str, flat: Sequence[bytes] | None) -> Job:
    if flat is None:
        raise no_such_job(job_id)
    return job_from(flat)


def _settled(answer: Iterable[bytes]) -> Settled:
    outcome, ended = (word.decode() for word in answer)
    return Settled(Outcome(outcome), JobState(ended) if ended else None)


def _buried(reason: str) -> bytes:
    return result_to_json(ItemResult(0, error=ItemError(ABANDONED, reason)))
