"""Every load scenario runs for some seconds against a real stack, all side by side; and their limits are judged."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from loadtests.scenarios.__main__ import ROOT, SCENARIOS
from loadtests.scenarios.limits import REFUSED, Figures, Limit, missed
from tests.support.digit_models import DIGITS
from tests.support.stack import Stack, running_stack

SECONDS, USERS = 5, 6


def figures(requests: int = 100, failures: int = 0, p99_ms: float = 10.0) -> Figures:
    return Figures(requests, failures, 1.0, 5.0, p99_ms, 20.0)


@pytest.mark.parametrize(
    ("limit", "found", "expected"),
    [
        (Limit("a"), {"a": figures()}, []),
        (Limit("a"), {}, ["a: 0 requests, and at least 1 were due"]),
        (Limit("a", min_requests=0), {}, []),
        (Limit("a"), {"a": figures(failures=1)}, ["a: 1 of 100 failed, at most 0.0% may"]),
        (Limit("a", max_failed=0.01), {"a": figures(failures=1)}, []),
        (Limit("a", p99_ms=9), {"a": figures()}, ["a: the slowest of 100 took 10 ms, 9 are allowed"]),
        (Limit("a", p99_ms=10), {"a": figures()}, []),
        (Limit("a"), {"a": figures(), f"a{REFUSED}": figures(1)}, ["a: 1 of 101 were refused, at most 0.0% may"]),
        (Limit("a", max_refused=0.5), {"a": figures(), f"a{REFUSED}": figures(100)}, []),
        (Limit("a"), {"a": figures(), "b": figures(failures=3)}, ["b: 3 of 100 failed"]),
        (Limit("a"), {"a": figures(), "free": figures(failures=3)}, []),
    ],
)
def test_what_was_missed_is_said(limit: Limit, found: Mapping[str, Figures], expected: list[str]) -> None:
    assert missed([limit], found, may_fail="free") == expected


@dataclass(frozen=True, slots=True)
class Run:
    """A scenario that has ended: its status, what it said, and its verdict."""

    status: int
    said: str
    report: Path

    @property
    def verdict(self) -> Any:
        return json.loads(self.report.with_suffix(".json").read_text())


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Two models that are digits, each with a second version, which answers."""
    directory = tmp_path_factory.mktemp("scenarios")
    for name in ("digits", "released"):
        home = directory / "models" / name
        shutil.copytree(DIGITS, home)
        shutil.copytree(home / "1", home / "2")
        config = (home / "config.pbtxt").read_text().replace('name: "digits"', f'name: "{name}"')
        (home / "config.pbtxt").write_text(config + "version_policy { all {} }\n")
    with running_stack(directory, "--processes", "1", "--no-web", models=directory / "models") as stack:
        yield stack


def run(scenario: str, stack: Stack, directory: Path, *more: str) -> Run:
    arguments = [scenario, "--host", stack.url, "--report", str(directory), "--users", str(USERS)]
    command = [sys.executable, "-m", "loadtests.scenarios", *arguments, "--seconds", str(SECONDS), *more]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    return Run(ended.returncode, ended.stdout + ended.stderr, directory / scenario)


@pytest.fixture(scope="module")
def runs(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """All scenarios at once; times are this machine's, and judged by none of these tests."""
    directory, patient = tmp_path_factory.mktemp("reports"), ("--p99-ms", "60000")
    (key,) = stack.admin.values()
    more: dict[str, tuple[str, ...]] = {
        "canary": ("--model", "released", "--candidate", "released/1", "--admin-key", key.removeprefix("Bearer ")),
        "jobs": ("--job-images", "8"),
    }
    with ThreadPoolExecutor(len(SCENARIOS)) as threads:
        begun = {name: threads.submit(run, name, stack, directory, *patient, *more.get(name, ())) for name in SCENARIOS}
        return {name: each.result() for name, each in begun.items()}


@pytest.mark.e2e
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_scenario_keeps_its_limits_and_writes_its_report(runs: dict[str, Run], scenario: str) -> None:
    ended = runs[scenario]
    assert ended.status == 0, ended.said
    assert ended.verdict["missed"] == []
    assert sum(each["requests"] for each in ended.verdict["figures"].values()) > 0
    assert "<html" in ended.report.with_suffix(".html").read_text()
    assert ended.report.with_name(f"{scenario}_stats.csv").read_text().startswith("Type,Name,")


@pytest.mark.e2e
def test_scenarios_do_what_they_say(runs: dict[str, Run]) -> None:
    told = {name: set(ended.verdict["figures"]) for name, ended in runs.items()}
    assert {"predict", "predict, four pictures"} <= told["steady"]
    assert {"predict, before", "predict, in the burst", "predict, after"} <= told["burst"]
    assert len([name for name in told["ramp"] if name.startswith("predict, step")]) >= 3
    assert "breaking point: " in runs["ramp"].said
    assert "job, from its pictures to its results" in told["jobs"]
    assert {"stable", "candidate"} <= told["canary"]
    assert {"no picture", "far too much", "gone in the middle", "a byte at a time"} <= told["hostile"]


@pytest.mark.e2e
async def test_the_canary_ends_its_release(runs: dict[str, Run], stack: Stack) -> None:
    assert runs["canary"].status == 0
    async with httpx.AsyncClient(base_url=stack.url, headers=stack.admin) as http, asyncio.timeout(20):
        while not (await http.get("/v1/models/released/release")).json()["is_over"]:
            await asyncio.sleep(0.1)


@pytest.mark.e2e
def test_a_limit_that_is_missed_is_said_and_fails_the_run(runs: dict[str, Run], stack: Stack, tmp_path: Path) -> None:
    ended = run("steady", stack, tmp_path, "--p99-ms", "0.001", "--seconds", "1")
    assert ended.status == 1
    assert "missed: predict: the slowest of 100 took" in ended.said
    assert len(ended.verdict["missed"]) >= 1
