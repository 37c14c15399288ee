"""A release while who decides about it, and where it is kept, are killed again and again."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
from pathlib import Path

import pytest

from tests.support import bad_candidates
from tests.support.release_client import OVER, ReleaseClient
from tests.support.stack import Stack, running_stack
from tests.support.steady_load import SteadyLoad
from tests.support.valkey import require_valkey

RATE, KILLS, EVERY_S, SEED = 60.0, 6, 2.0, 11
VALKEY_AT = (1, 4)  # of the kills
COMMANDS = {"controller": "services.cli controller", "valkey": "valkey-server"}
PLAN = {
    "model": "digits",
    "candidate": {"model": "digits", "version": 2},
    "strategy": "canary",
    "steps": [{"weight": weight, "for": "2s", "min_requests": 5} for weight in (5, 25, 50)],
    "hold": "2s",
    "guardrails": [{"metric": "error_rate", "max_increase": 0.05}],
}


async def killed(stack: Stack, victim: str) -> None:
    """SIGKILL, as soon as there is somebody to kill."""
    async with asyncio.timeout(20):
        while not (pids := stack.pids(COMMANDS[victim])):
            await asyncio.sleep(0.02)
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


async def chaos(stack: Stack, rng: random.Random) -> None:
    for number in range(KILLS):
        await asyncio.sleep(EVERY_S * rng.uniform(0.5, 1.0))  # for nothing: so that it hits anywhere
        await killed(stack, "controller")
        if number in VALKEY_AT:
            await killed(stack, "valkey")


@pytest.mark.timeout(120)
async def test_a_release_ends_as_it_may_whoever_is_killed_and_everybody_is_answered(tmp_path: Path) -> None:
    require_valkey()
    model = bad_candidates.repository_with_one_version(tmp_path / "models")
    bad_candidates.add_equal(model, 2)
    environment = {"GRAYSCALE_CONTROLLER_PORT": "0", "GRAYSCALE_ACCESS_LOG": "0"}
    with running_stack(
        tmp_path, "--processes", "2", "--no-worker", models=tmp_path / "models", environment=environment
    ) as stack:
        serving, client = stack.pids("-m services.api"), ReleaseClient(stack)
        async with client.http, SteadyLoad(f"{stack.url}/v1/models/digits/predict", RATE).running() as load:
            release = (await client.apply(PLAN))["release"]
            await chaos(stack, random.Random(SEED))
            state = await client.until(OVER | {"paused"}, 40)
            events = await client.events(release)
        assert state["release"] == release
        chain = [event["to"] for event in events]
        assert [event["from"] for event in events] == [None, *chain[:-1]]
        assert chain[-1] == state["phase"] == "promoted", (chain, state)
        weights = [event["weight"] for event in events]
        assert weights == sorted(weights)
        assert load.failed() == []
        assert load.answers[-1].served_by == "digits/2"
        assert stack.pids("-m services.api") == serving
        print(f"{len(load.answers)} answers; {chain}")  # noqa: T201
        assert stack.stop() == 0
