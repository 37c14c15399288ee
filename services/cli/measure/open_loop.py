"""Open-loop load: requests leave when they are due, whatever became of those before them.

A closed loop waits for its answers, so a server that is slow is asked less, and the waiting of those who would have
come meanwhile stays unseen. Here every request has its time, drawn before the run; its latency counts from that time,
also when it left late, because every connection was busy or this process was.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import math
import os
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import numpy as np

from services.cli.measure.asyncio_load import message_of
from services.cli.measure.connection_pool import ConnectionPool
from services.cli.measure.load import MeasurementFailed, Request
from services.cli.measure.open_load import Floats, OpenLoad
from services.cli.measure.precise_timer import best_timer

MAX_CONNECTIONS = 2048
ANSWER_TIMEOUT_S = 30.0
_LEAD_S = 0.05  # before the first request


def poisson(rate_per_s: float, seconds: float, seed: int) -> Floats:
    """The times, ascending, of independent requests within so many seconds: the gaps are exponential."""
    source = np.random.default_rng(seed)
    size = math.ceil(rate_per_s * seconds + 10 * math.sqrt(rate_per_s * seconds) + 10)  # ten deviations: never too few
    times_s: Floats = np.cumsum(source.exponential(1 / rate_per_s, size))
    return times_s[times_s < seconds]


def open_loop(
    request: Request,
    due_s: Floats,
    *,
    max_connections: int = MAX_CONNECTIONS,
    open_ahead: int = 0,
    answer_timeout_s: float = ANSWER_TIMEOUT_S,
) -> OpenLoad:
    """Sends the request at each of these times (seconds from now, ascending), and waits for the last answer, but no
    longer than `answer_timeout_s`. Blocks. Raises MeasurementFailed when no connection can be made.

    At most `max_connections` are open at once; a request that finds none free waits for one, and the wait counts. With
    `open_ahead` so many are open before: a server that was away for a moment is not also asked to accept new ones then.
    """

    async def course(pool: ConnectionPool) -> float:
        await pool.open_ahead(min(open_ahead, max_connections))
        begin_s = time.monotonic() + _LEAD_S
        await _send_all(pool.send, due_s + begin_s)
        await _all_answered(pool, answer_timeout_s)
        return begin_s

    return _run(request, max_connections, course, due_s)


def closed_loop(request: Request, clients: int, seconds: float) -> OpenLoad:
    """The same connections at the same cost, but each client asks again when it has its answer: what a server can do
    at most, as this generator finds it. A request counts as due when it is sent."""

    async def course(pool: ConnectionPool) -> float:
        begin_s = time.monotonic()
        end_s = begin_s + seconds

        def ask_again() -> None:
            if time.monotonic() < end_s:
                pool.send()

        pool.on_answer = ask_again
        for _ in range(clients):
            pool.send()
        await _all_answered(pool, seconds + ANSWER_TIMEOUT_S)
        return begin_s

    return _run(request, clients, course, None)


def _run(
    request: Request, limit: int, course: Callable[[ConnectionPool], Coroutine[Any, Any, float]], due_s: Floats | None
) -> OpenLoad:
    import uvloop

    if request.address.scheme != "http":
        raise MeasurementFailed(f"{request.url} is not http")
    host, port = request.address.hostname or "127.0.0.1", request.address.port or 80
    pool = ConnectionPool(host, port, message_of(request), limit=limit)

    async def through() -> float:
        try:
            return await course(pool)
        finally:
            pool.close()

    cpu_s = time.process_time()
    with _ahead_of_servers(), _without_collection():
        begin_s = uvloop.run(through())
    cpu_s = time.process_time() - cpu_s
    if pool.most_open == 0:
        raise MeasurementFailed(f"{request.url} cannot be reached")
    sent_s, done_s = np.array(pool.sent_s) - begin_s, np.array(pool.done_s) - begin_s
    status = np.array(pool.status, np.int32)
    return OpenLoad(sent_s if due_s is None else due_s, sent_s, done_s, status, pool.most_open, cpu_s)


async def _send_all(send: Callable[[], None], due_s: Floats) -> None:
    """Returns when the last one was sent; `due_s` is of `time.monotonic`."""
    times_s, following, all_sent = [*due_s.tolist(), math.inf], 0, asyncio.Event()

    def send_due() -> None:
        nonlocal following
        now_s = time.monotonic()
        while times_s[following] <= now_s:
            send()
            following += 1
        if following == len(due_s):
            all_sent.set()
        else:
            timer.set(times_s[following])

    timer = best_timer(asyncio.get_running_loop(), send_due)
    try:
        send_due()
        await all_sent.wait()
    finally:
        timer.close()


async def _all_answered(pool: ConnectionPool, timeout_s: float) -> None:
    """Returns when the last one is answered, or after that time."""
    answered = asyncio.Event()
    ask_again = pool.on_answer

    def look() -> None:
        ask_again()
        if not pool.unanswered:
            answered.set()

    pool.on_answer = look
    if pool.unanswered:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await answered.wait()


@contextlib.contextmanager
def _ahead_of_servers() -> Iterator[None]:
    """This thread runs as soon as it has something to do where the system allows it (sched(7)), as on a machine of its
    own: what it waits for a processor would count as the server's latency. Priorities among ordinary processes would
    not do, because sessions are weighed against each other first (autogroups)."""
    ahead = False
    if sys.platform == "linux":
        with contextlib.suppress(PermissionError):
            os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(1))
            ahead = True
    try:
        yield
    finally:
        if ahead:
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


@contextlib.contextmanager
def _without_collection() -> Iterator[None]:
    # A collection over a million records takes longer than the answers that are measured.
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
