"""A job's results as NDJSON: pages of the store become lines. Pure, apart from `Follower`, which waits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import orjson

from services.shared.errors import NotFound, Unavailable
from services.shared.jobs.base import JobStore
from services.shared.jobs.job import ItemResult, ResultPage

MEDIA_TYPE = "application/x-ndjson"
PAGE_BYTES = 2**20
_FIRST_PAGE, _LARGEST_PAGE = 50, 500


@dataclass(frozen=True, slots=True)
class Pace:
    """How streams wait: a job that changes is looked at every `poll_s`, one that does not less and less often, down to
    every `idle_poll_s`. A comment at least every `heartbeat_s` keeps an event stream open. A store that is away is
    waited for up to `patience_s` in the middle of a stream, which cannot begin anew by itself."""

    poll_s: float = 0.25
    idle_poll_s: float = 1.0
    heartbeat_s: float = 10.0
    patience_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which results: from index `start` on, at most `limit` lines (None: all); `follow`: until the job has ended."""

    job_id: str
    owner: str | None
    start: int = 0
    limit: int | None = None
    follow: bool = False


def line_of(result: ItemResult) -> bytes:
    """One item's result as the contract has it, with its line end."""
    document: dict[str, object] = {"index": result.index, "name": result.name}
    if result.error is not None:
        document["error"] = {"cause": result.error.cause, "detail": result.error.detail}
    else:
        document["result"] = result.result
    return orjson.dumps(document, option=orjson.OPT_APPEND_NEWLINE)


def page_items(lines: int, size_bytes: int) -> int:
    """How many results to ask for next when so many took so many bytes: about PAGE_BYTES of them, because masks and
    embeddings are long and labels are short."""
    if not lines:
        return _FIRST_PAGE
    return max(1, min(_LARGEST_PAGE, PAGE_BYTES * lines // size_bytes))


class ResultReader:
    """Reads a job's results for one client after the other. `ending()` tells that this process is about to end."""

    def __init__(self, store: JobStore, pace: Pace, ending: Callable[[], bool]) -> None:
        self._store = store
        self._pace = pace
        self._ending = ending

    async def first(self, wanted: Wanted) -> ResultPage:
        """To be read before an answer begins; raises NotFound, InvalidInput or Unavailable."""
        return await self._page(wanted, wanted.start, _bounded(_FIRST_PAGE, wanted.limit))

    async def lines(self, wanted: Wanted, page: ResultPage) -> AsyncIterator[bytes]:
        """Whole lines, from the first page on. A job that is purged meanwhile ends them; Unavailable is raised when the
        store has been away too long."""
        at, left, wait_s, size = wanted.start, wanted.limit, self._pace.poll_s, _FIRST_PAGE
        while True:
            if page.results:
                text = b"".join(map(line_of, page.results))
                yield text
                size, wait_s = page_items(len(page.results), len(text)), self._pace.poll_s
                left = None if left is None else left - len(page.results)
            if page.is_last or left == 0:
                return
            if page.next_index == at:  # the next result is not there yet
                if not wanted.follow or self._ending():
                    return
                await asyncio.sleep(wait_s)
                wait_s = min(2 * wait_s, self._pace.idle_poll_s)
            at = page.next_index
            try:
                page = await self._patient(wanted, at, _bounded(size, left))
            except NotFound:
                return

    async def _patient(self, wanted: Wanted, at: int, limit: int) -> ResultPage:
        return await patiently(lambda: self._page(wanted, at, limit), self._pace, self._ending)

    async def _page(self, wanted: Wanted, at: int, limit: int) -> ResultPage:
        return await self._store.results(wanted.job_id, owner=wanted.owner, start=at, limit=limit)


async def patiently(ask: Callable[[], Awaitable[ResultPage]], pace: Pace, ending: Callable[[], bool]) -> ResultPage:
    """What `ask` gives, asked again while it raises Unavailable, for `patience_s`."""
    loop = asyncio.get_running_loop()
    end = loop.time() + pace.patience_s
    while True:
        try:
            return await ask()
        except Unavailable:
            if loop.time() >= end or ending():
                raise
        await asyncio.sleep(pace.idle_poll_s)


def _bounded(size: int, left: int | None) -> int:
    return size if left is None else min(size, left)
