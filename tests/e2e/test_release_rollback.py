"""Releases on a real stack under steady load: what is worse goes by itself, what is as good gets everything."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any

import pytest

from tests.support import bad_candidates
from tests.support.release_client import OVER, ReleaseClient, unix_s
from tests.support.stack import Stack, running_stack
from tests.support.steady_load import Answer, SteadyLoad, last
from tests.support.valkey import require_valkey

RATE = 100.0
ERRING, SLOWER, CONSTANT, KILLING, GOOD = 2, 3, 4, 5, 6
LEGAL = {  # specification: "States"
    None: {"pending"},
    "pending": {"progressing", "rolling_back"},
    "progressing": {"progressing", "promoting", "rolling_back", "paused"},
    "promoting": {"promoting", "promoted", "rolling_back"},
    "rolling_back": {"rolled_back"},
}


def plan(version: int, weights: Sequence[float], guardrails: Sequence[Mapping[str, Any]], **more: Any) -> Any:
    """A canary of a few seconds; a single step has more, as nothing comes after it."""
    seconds = 3 if len(weights) > 1 else 12
    steps = [{"weight": weight, "for": f"{seconds}s", "min_requests": 20} for weight in weights]
    return {
        "model": "digits",
        "stable": {"model": "digits", "version": 1},
        "candidate": {"model": "digits", "version": version},
        "strategy": "canary",
        "steps": steps,
        "hold": "2s",
        "guardrails": list(guardrails),
        **more,
    }


NO_ERRORS = {"metric": "error_rate", "max_increase": 0.005}
NO_SHIFT = {"metric": "prediction_shift", "max": 0.3}
NO_DELAY = {"metric": "latency_p50", "max_ratio": 1.2}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    require_valkey()
    directory = tmp_path_factory.mktemp("release")
    model = bad_candidates.repository_with_one_version(directory / "models")
    bad_candidates.add_erring(model, ERRING)
    bad_candidates.add_slower(model, SLOWER, layers=16)
    bad_candidates.add_constant(model, CONSTANT)
    bad_candidates.add_killing(model, KILLING)
    bad_candidates.add_equal(model, GOOD)
    environment = {"GRAYSCALE_CONTROLLER_PORT": "0", "GRAYSCALE_ACCESS_LOG": "0"}
    with running_stack(
        directory, "--processes", "2", "--no-worker", models=directory / "models", environment=environment
    ) as stack:
        yield stack
        assert stack.stop() == 0


@contextlib.asynccontextmanager
async def under_load(stack: Stack) -> AsyncIterator[tuple[ReleaseClient, SteadyLoad]]:
    client = ReleaseClient(stack)
    async with client.http, SteadyLoad(f"{stack.url}/v1/models/digits/predict", RATE).running() as load:
        yield client, load


async def rolled_back(client: ReleaseClient, load: SteadyLoad, wanted: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """The event that took the release back by itself, and its release's id; then a second of load has gone by, which
    stable has answered alone."""
    release = (await client.apply(wanted))["release"]
    state = await client.until(OVER, 50)
    assert (state["phase"], state["weight"]) == ("rolled_back", 0), state
    over_at = last(load.answers)
    await _answered(load, over_at + 1.0)
    assert {answer.served_by for answer in load.answers if answer.sent_at > over_at} == {"digits/1"}
    events = await client.events(release)
    assert legal(events)
    [event] = [event for event in events if event["to"] == "rolling_back"]
    assert event["by"] == "controller"
    return event, release


def legal(events: Sequence[Mapping[str, Any]]) -> bool:
    """Whether every event begins where the one before ended, and the specification has such a transition."""
    for before, event in zip([None, *(event["to"] for event in events)], events, strict=False):
        assert event["from"] == before, events
        assert event["to"] in LEGAL[before], events
    return True


async def _answered(load: SteadyLoad, at: float) -> None:
    """Returns when requests that were sent after `at` are answered."""
    async with asyncio.timeout(20):
        while not any(answer.sent_at > at for answer in load.answers):
            await asyncio.sleep(0.05)


def told(event: Mapping[str, Any], load: SteadyLoad, bad: Sequence[Answer]) -> str:
    """How long it took, for whoever reads the test's output."""
    if not bad:
        return f"the candidate answered nothing, {len(load.answers)} answers in all; {event['why']}"
    decided_at, ended_at = unix_s(event["at"]), last(bad)
    text = f"verdict → the candidate's last answer {ended_at - decided_at:+.2f} s of {len(bad)}"
    if len(bad) >= 10:
        text += f"; its tenth answer → its last {ended_at - sorted(answer.at for answer in bad)[9]:.2f} s"
    return f"{text}; {len(load.answers)} answers in all; {event['why']}"


async def test_a_candidate_that_errs_is_taken_back_and_nobody_else_notices(stack: Stack) -> None:
    async with under_load(stack) as (client, load):
        event, _ = await rolled_back(client, load, plan(ERRING, [10, 50], [NO_ERRORS]))
    failed = load.failed()
    print(told(event, load, failed))  # noqa: T201
    assert "error_rate" in event["why"]
    assert len(failed) >= 5
    assert {answer.status for answer in failed} == {500}
    assert all("Gather" in answer.said for answer in failed), failed[0]
    assert load.of("candidate") == []


@pytest.mark.parametrize(
    ("version", "weights", "guardrail"),
    [(SLOWER, [50], NO_DELAY), (CONSTANT, [20, 50], NO_SHIFT)],
    ids=["slower", "constant"],
)
async def test_a_candidate_that_is_worse_is_taken_back_without_a_failed_request(
    stack: Stack, version: int, weights: list[float], guardrail: dict[str, Any]
) -> None:
    async with under_load(stack) as (client, load):
        event, _ = await rolled_back(client, load, plan(version, weights, [NO_ERRORS, guardrail]))
    print(told(event, load, load.of("candidate")))  # noqa: T201
    assert str(guardrail["metric"]) in event["why"]
    assert load.of("candidate")
    assert load.failed() == []


async def test_a_candidate_that_kills_whoever_loads_it_kills_no_process_that_serves(stack: Stack) -> None:
    before = stack.pids("-m services.api")
    async with under_load(stack) as (client, load):
        event, _ = await rolled_back(client, load, plan(KILLING, [10, 50], [NO_ERRORS]))
    print(told(event, load, load.of("candidate")))  # noqa: T201
    assert "the process that tried it died (SIG" in event["why"]
    assert stack.pids("-m services.api") == before
    assert load.of("candidate") == []
    assert load.failed() == []


async def test_a_candidate_that_is_as_good_goes_through_all_its_steps(stack: Stack) -> None:
    async with under_load(stack) as (client, load):
        wanted = plan(GOOD, [10, 50], [NO_ERRORS, {"metric": "latency_p50", "max_ratio": 2}, NO_SHIFT])
        release = (await client.apply(wanted))["release"]
        state = await client.until(OVER, 50)
        await _answered(load, last(load.answers) + 1.0)
        events = await client.events(release)
    assert state["phase"] == "promoted", state
    assert legal(events)
    assert list(dict.fromkeys(event["weight"] for event in events)) == [0, 10, 50, 100]
    assert load.answers[-1].served_by == "digits/6"
    assert load.failed() == []
