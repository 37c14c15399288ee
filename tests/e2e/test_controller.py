"""A release of a real model on a real stack, with a controller that is killed again and again."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from services.shared.embedded_valkey import valkey_url
from services.shared.fleet.file import FileFleetStore
from services.shared.model_ref import ModelRef
from services.shared.release.advance import begun
from services.shared.release.parse_plan import parse_plan
from services.shared.release.state import OVER, Phase, ReleaseState, begin
from services.shared.release_store.base import Release
from services.shared.release_store.redis import RedisReleaseStore
from tests.support.digit_models import copy_digits
from tests.support.images import digit_png
from tests.support.stack import Stack, running_stack
from tests.support.valkey import require_valkey

pytestmark = pytest.mark.e2e

PREDICT = "/v1/models/digits/predict"
STABLE, CANDIDATE = ModelRef("digits", 1), ModelRef("digits", 2)
PLAN = parse_plan(
    {
        "model": "digits",
        "candidate": {"model": "digits", "version": 2},
        "strategy": "canary",
        "steps": [
            {"shadow": 50, "for": "1s", "min_requests": 10},
            {"weight": 25, "for": "2s", "min_requests": 10},
            {"weight": 50, "for": "2s", "min_requests": 10},
        ],
        "hold": "2s",
        "guardrails": [{"metric": "error_rate", "max_increase": 0.05}, {"metric": "disagreement", "max": 0.05}],
    }
)
KILLS, BETWEEN_S = 3, 2.0
BOUND_S = 90.0


class Load:
    """Requests, one after another on a few connections; what they were answered."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.statuses: collections.Counter[int] = collections.Counter()
        self.versions: list[str] = []

    async def run(self) -> None:
        async with httpx.AsyncClient(base_url=self._url, timeout=20, trust_env=False) as client:
            await asyncio.gather(*(self._ask(client, number) for number in range(4)))

    async def _ask(self, client: httpx.AsyncClient, number: int) -> None:
        picture = digit_png(number)
        while True:
            answer = await client.post(PREDICT, content=picture, headers={"content-type": "image/png"})
            self.statuses[answer.status_code] += 1
            if answer.status_code == 200:
                self.versions.append(str(answer.json()["served_by"]["version"]))
            await asyncio.sleep(0.005)


@contextlib.contextmanager
def running(directory: Path, *arguments: str) -> Iterator[Stack]:
    """With one version of digits; the second is there when the stack is ready, and nobody has loaded it."""
    require_valkey()
    model = copy_digits(directory / "models")
    with running_stack(directory, "--no-worker", *arguments, models=directory / "models") as stack:
        shutil.copytree(model / "1", model / "2")
        yield stack


async def begin_release(store: RedisReleaseStore) -> ReleaseState:
    now = time.time()
    state = begin(PLAN, "r-e2e", os.urandom(16), default=STABLE, loaded={STABLE}, now=now)
    await store.put(Release(PLAN, state), expected_revision=0, event=begun(state, "a test"))
    return state


async def kill_again_and_again(stack: Stack) -> int:
    """How many were killed."""
    killed = 0
    for _ in range(KILLS):
        await asyncio.sleep(BETWEEN_S)
        for pid in stack.pids("services.cli controller"):
            os.kill(pid, signal.SIGKILL)
            killed += 1
    return killed


async def over(store: RedisReleaseStore) -> ReleaseState:
    async with asyncio.timeout(BOUND_S):
        while True:
            state = (await store.get("digits")).state
            if state.phase in OVER and state.settled:
                return state
            await asyncio.sleep(0.1)


async def promoted(stack: Stack, *, kills: bool) -> int:
    """Carries a release out under load, and checks how it ended; how many controllers were killed meanwhile."""
    store, load = RedisReleaseStore(valkey_url(stack.data_dir)), Load(stack.url)
    asking = asyncio.create_task(load.run())
    await begin_release(store)
    killing = asyncio.create_task(kill_again_and_again(stack) if kills else asyncio.sleep(0, 0))
    try:
        state = await over(store)
        killed = await killing
        seen = len(load.versions)
        while len(load.versions) < seen + 20:
            await asyncio.sleep(0.05)
    finally:
        for task in (asking, killing):
            task.cancel()
        await asyncio.gather(asking, killing, return_exceptions=True)
    assert (state.phase, state.weights) == (Phase.PROMOTED, (100.0,))
    log = await store.events("digits")
    assert [event.weight for event in log] == sorted(event.weight for event in log), log
    assert (await FileFleetStore(stack.data_dir / "fleet").desired()).defaults == {"digits": CANDIDATE}
    assert set(load.statuses) == {200}
    assert set(load.versions[-20:]) == {"2"}
    assert "1" in load.versions
    await store.close()
    return killed


async def test_a_second_version_is_promoted_whatever_happens_to_the_controller(tmp_path: Path) -> None:
    with running(tmp_path, "--processes", "2") as stack:
        assert await promoted(stack, kills=True) >= 1


async def test_a_second_version_is_promoted_where_a_model_server_has_the_models(tmp_path: Path) -> None:
    with running(tmp_path, "--processes", "1", "--model-server") as stack:
        await promoted(stack, kills=False)
