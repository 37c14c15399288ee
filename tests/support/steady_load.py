"""Clients that ask at a steady rate and remember who answered what, when."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass

import aiohttp

from tests.support.images import digit_png

DEADLINE_S = 15.0  # far above any answer's time: what takes longer hangs


@dataclass(frozen=True, slots=True)
class Answer:
    """`status` 0: there was none. `said` is what a failed request was told. Times in Unix seconds."""

    sent_at: float
    at: float
    status: int
    arm: str = ""
    served_by: str = ""
    said: str = ""


class SteadyLoad:
    """`answers` in the order in which they came. Every request has a key of its own, and is sent when its time has
    come, whether or not others are answered: servers that are late do not slow the clients down."""

    def __init__(self, url: str, rate: float, *, seed: int = 7, connections: int = 32) -> None:
        self._url, self._rate, self._random = url, rate, random.Random(seed)
        self._pictures = [digit_png(label, index) for label in range(10) for index in range(5)]
        self._connections = connections
        self._tasks: set[asyncio.Task[None]] = set()
        self.answers: list[Answer] = []

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[SteadyLoad]:
        """What was sent is answered before the end."""
        timeout, connector = aiohttp.ClientTimeout(total=DEADLINE_S), aiohttp.TCPConnector(limit=self._connections)
        async with aiohttp.ClientSession(timeout=timeout, connector=connector) as http:
            sending = asyncio.create_task(self._send(http))
            try:
                yield self
            finally:
                sending.cancel()
                await asyncio.gather(sending, *self._tasks, return_exceptions=True)

    def of(self, arm: str) -> list[Answer]:
        """What an arm answered; a request that failed does not say who it was."""
        return [answer for answer in self.answers if answer.arm == arm]

    def failed(self) -> list[Answer]:
        return [answer for answer in self.answers if answer.status != 200]

    async def _send(self, http: aiohttp.ClientSession) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            due += self._random.expovariate(self._rate)
            await asyncio.sleep(max(0.0, due - loop.time()))
            task = asyncio.create_task(self._ask(http))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _ask(self, http: aiohttp.ClientSession) -> None:
        headers = {"content-type": "image/png", "x-routing-key": f"key-{self._random.getrandbits(48):x}"}
        sent_at = time.time()
        try:
            async with http.post(self._url, data=self._random.choice(self._pictures), headers=headers) as answer:
                body = await answer.read()
                arm, served_by = (answer.headers.get(name, "") for name in ("x-release-arm", "x-served-by"))
                said = "" if answer.status == 200 else body.decode()
                self.answers.append(Answer(sent_at, time.time(), answer.status, arm, served_by, said))
        except (aiohttp.ClientError, TimeoutError) as error:
            self.answers.append(Answer(sent_at, time.time(), 0, said=f"{type(error).__name__}: {error}"))


def last(answers: Iterable[Answer]) -> float:
    """When the last of these was answered; 0.0 where there is none."""
    return max((answer.at for answer in answers), default=0.0)
