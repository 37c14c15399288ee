"""`grayscale release` as a user types it: a canary that is promoted, and one that is taken back."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from asyncio.subprocess import PIPE
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.digit_models import copy_digits
from tests.support.images import digit_png
from tests.support.stack import ROOT, Stack, running_stack
from tests.support.steady_load import SteadyLoad
from tests.support.valkey import require_valkey

BOUND_S = 60.0
PLAN = """model: digits
candidate: {model: digits, version: 2}
strategy: canary
steps:
  - {shadow: 50, for: 1s, min_requests: 10}
  - {weight: 50, for: 2s, min_requests: 20}
hold: 1s
guardrails:
  - {metric: error_rate, max_increase: 0.05}
  - {metric: disagreement, max: 0.05}
"""
SLOW = PLAN.replace("version: 2", "version: 1").replace("for: 1s", "for: 300s")


@dataclass(frozen=True, slots=True)
class Ended:
    code: int
    out: str
    err: str


class Cli:
    """`release` commands for the server of a stack."""

    def __init__(self, stack: Stack) -> None:
        urls = {"GRAYSCALE_URL": stack.url, "GRAYSCALE_DATA_DIR": str(stack.data_dir)}
        self._environment = {**os.environ, **urls, "COLUMNS": "200"}

    async def run(self, *arguments: str) -> Ended:
        command = [sys.executable, "-m", "services.cli", "release", *arguments]
        process = await asyncio.create_subprocess_exec(
            *command, stdout=PIPE, stderr=PIPE, env=self._environment, cwd=ROOT
        )
        try:
            out, err = await asyncio.wait_for(process.communicate(), BOUND_S)
        except TimeoutError:
            process.kill()
            await process.wait()
            raise
        return Ended(process.returncode or 0, out.decode(), err.decode())

    async def document(self, *arguments: str) -> Any:
        ended = await self.run(*arguments, "--json")
        assert ended.code == 0, ended.err
        return json.loads(ended.out)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    require_valkey()
    directory = tmp_path_factory.mktemp("release-cli")
    model = copy_digits(directory / "models")
    environment = {"GRAYSCALE_CONTROLLER_PORT": "0"}
    with running_stack(
        directory, "--no-worker", "--processes", "2", models=directory / "models", environment=environment
    ) as stack:
        shutil.copytree(model / "1", model / "2")
        yield stack


def default_version(stack: Stack) -> int:
    version: int = httpx.get(f"{stack.url}/v1/models/digits").json()["default"]["version"]
    return version


async def feedback(stack: Stack) -> list[bool]:
    """What became of the truth about some answers, each told twice."""
    counted = []
    async with httpx.AsyncClient(base_url=stack.url, timeout=15) as http:
        for label in range(3):
            png = digit_png(label)
            answer = await http.post("/v1/models/digits/predict", content=png, headers={"content-type": "image/png"})
            body = {"feedback_id": answer.json()["feedback_id"], "label": str(label)}
            told = [await http.post("/v1/feedback", json=body) for _ in range(2)]
            counted += [each.json()["counted"] for each in told]
    return counted


async def test_a_canary_is_applied_watched_reported_and_put_away(stack: Stack, tmp_path: Path) -> None:
    plan, page, cli = tmp_path / "plan.yaml", tmp_path / "report.html", Cli(stack)
    plan.write_text(PLAN)
    async with SteadyLoad(f"{stack.url}/v1/models/digits/predict", 60.0).running() as load:
        watched, counted = await asyncio.gather(cli.run("apply", "-f", str(plan), "--watch"), feedback(stack))
    assert watched.code == 0, watched.out + watched.err
    assert "promoted" in watched.out.splitlines()[-1]
    assert counted == [True, False] * 3
    assert load.failed() == []
    assert {answer.served_by for answer in load.answers} == {"digits/1", "digits/2"}

    state = await cli.document("status", "digits")
    assert (state["phase"], state["weight"], state["winner"]) == ("promoted", 100, "candidate")
    assert default_version(stack) == 2
    report = await cli.document("report", "digits", "--html", str(page))
    assert [guardrail["metric"] for guardrail in report["guardrails"]] == ["error_rate", "disagreement"]
    assert report["shadow"]["differing"] == 0
    shown = page.read_text()
    assert shown.count("<path") >= 4
    assert "shadow" in shown
    events = await cli.document("events", "digits")
    assert [event["to"] for event in events] == [
        "pending",
        "shadowing",
        "progressing",
        "promoting",
        "promoting",
        "promoted",
    ]
    assert (await cli.run("delete", "digits")).code == 0
    assert (await cli.run("status", "digits")).code == 3


async def test_a_person_takes_a_release_back_that_another_watches(stack: Stack, tmp_path: Path) -> None:
    plan, cli = tmp_path / "plan.yaml", Cli(stack)
    plan.write_text(SLOW if default_version(stack) == 2 else SLOW.replace("version: 1", "version: 2"))
    assert (await cli.run("apply", "-f", str(plan))).code == 0
    refused = await cli.run("apply", "-f", str(plan))
    assert (refused.code, "end it first" in refused.err) == (3, True)
    watching = asyncio.create_task(cli.run("status", "digits", "--watch"))
    assert (await cli.document("rollback", "digits"))["weight"] == 0
    watched = await watching
    assert watched.code == 1, watched.err
    assert "rolled it back" in watched.out
    assert (await cli.run("resume", "digits")).code == 3
