"""A machine is lost, and what it knew is on another one, by the commands of docs/operations.md."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from services.shared.keys.base import Scope
from services.shared.keys.file import FileKeyStore
from services.shared.keys.issue import NewKey, issue
from tests.support.digit_models import add_rotated_version, copy_digits
from tests.support.documented import commands_below, run_documented
from tests.support.images import digit_png
from tests.support.job_client import PREDICT, JobClient
from tests.support.release_client import ReleaseClient
from tests.support.stack import ROOT, Stack, running_stack
from tests.support.valkey import require_valkey

OPERATIONS = ROOT / "docs/operations.md"
PLAN = {
    "model": "digits",
    "candidate": {"model": "digits", "version": 2},
    "strategy": "canary",
    "steps": [{"weight": 30, "for": "5h"}],
    "hold": "0s",
}
COUNT, BOUND_S = 20, 60.0
SETTINGS = {"GRAYSCALE_WORKER_COURTEOUS": "0"}
PNG = {"content-type": "image/png"}


@dataclass(slots=True)
class Before:
    """What was known before the machine was lost."""

    headers: Mapping[str, str]
    done: dict[str, Any]
    lines: list[dict[str, Any]]
    waiting: dict[str, Any]
    release: dict[str, Any]
    feedback_id: str
    answers: list[object]
    asked_meanwhile: int = 0


async def test_what_a_lost_machine_knew_is_restored_on_another_from_a_backup_made_under_load(tmp_path: Path) -> None:
    require_valkey()
    lost, new = tmp_path / "lost", tmp_path / "new"
    model = copy_digits(lost / "models")
    headers = {"authorization": f"Bearer {await made_key(lost / 'data')}"}
    with running_stack(lost, "--processes", "1", models=lost / "models", environment=SETTINGS) as stack:
        add_rotated_version(model, 2, 3)  # published now: what was there at the start answers
        try:
            before = await state_of(stack, headers)
            await backed_up_under_load(stack, before)
        finally:
            kill(stack)
    shutil.copy(lost / "grayscale-backup.tar", tmp_path)
    shutil.rmtree(lost)
    new.mkdir()
    shutil.move(tmp_path / "grayscale-backup.tar", new)
    variables = {"GRAYSCALE_DATA_DIR": str(new / "data"), "GRAYSCALE_MODELS": str(new / "repository")}
    await asyncio.to_thread(documented, "### Restore on one machine", new, variables)
    with running_stack(new, "--processes", "1", models=new / "repository", environment=SETTINGS) as stack:
        await check_restored(stack, before)


async def made_key(data_dir: Path) -> str:
    issued = issue(NewKey("a client", frozenset({Scope.PREDICT, Scope.JOBS})), now=time.time())
    await FileKeyStore(data_dir).add(issued.key)
    return issued.secret


async def state_of(stack: Stack, headers: Mapping[str, str]) -> Before:
    """A release in progress, a job that is done and one that waits, and answers."""
    releases = ReleaseClient(stack)
    async with releases.http, httpx.AsyncClient(base_url=stack.url, timeout=30, headers=headers) as http:
        await releases.apply(PLAN)
        release = await releases.until({"progressing"}, BOUND_S)
        client = JobClient(http)
        done = await client.submit([digit_png(index % 10) for index in range(COUNT)])
        await client.ended(done)
        for pid in (*stack.pids("services.cli worker"), *stack.pids("-m services.worker")):
            os.kill(pid, signal.SIGSTOP)  # so that the next job waits, however quick workers are
        waiting = await client.submit([digit_png(index % 10) for index in range(COUNT)])
        answer = (await http.post(PREDICT, content=digit_png(3), headers=PNG)).json()
        lines, answers = await client.results(done), await answers_of(http)
        return Before(headers, done, lines, waiting, release, answer["feedback_id"], answers)


async def answers_of(http: httpx.AsyncClient) -> list[object]:
    """Who answers each of 20 keys, and what."""
    found: list[object] = []
    for index in range(COUNT):
        headers = {"x-routing-key": f"key-{index}", **PNG}
        document = (await http.post(PREDICT, content=digit_png(index % 10), headers=headers)).json()
        found.append((document["served_by"], document["results"][0]["predictions"][0]))
    return found


async def backed_up_under_load(stack: Stack, before: Before) -> None:
    """By the document's commands, while clients ask: none of them may notice."""
    ending = asyncio.Event()

    async def ask(http: httpx.AsyncClient) -> None:
        while not ending.is_set():
            answer = await http.post(PREDICT, content=digit_png(1), headers=PNG)
            assert answer.status_code == 200, answer.text
            before.asked_meanwhile += 1

    variables = {"GRAYSCALE_DATA_DIR": str(stack.data_dir), "GRAYSCALE_MODELS": str(stack.data_dir.parent / "models")}
    async with httpx.AsyncClient(base_url=stack.url, timeout=30, headers=before.headers) as http:
        asking = [asyncio.create_task(ask(http)) for _ in range(4)]
        await asyncio.to_thread(documented, "### Back up one machine", stack.data_dir.parent, variables)
        ending.set()
        await asyncio.gather(*asking)
    assert before.asked_meanwhile >= COUNT


def documented(heading: str, directory: Path, environment: Mapping[str, str]) -> None:
    run_documented(commands_below(OPERATIONS, heading), directory, environment, timeout_s=BOUND_S)


def kill(stack: Stack) -> None:
    """All at once, as when the power goes."""
    pids = [*stack.pids("services."), *stack.pids("valkey-server"), stack.process.pid]
    stack.process.kill()
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    stack.process.wait()


async def check_restored(stack: Stack, before: Before) -> None:
    releases = ReleaseClient(stack)
    async with releases.http, httpx.AsyncClient(base_url=stack.url, timeout=30, headers=before.headers) as http:
        client = JobClient(http)
        assert (await client.ended(before.waiting))["done"] == COUNT
        assert len(await client.results(before.waiting)) == COUNT
        assert (await client.shown(before.done))["state"] == "succeeded"
        assert await client.results(before.done) == before.lines
        told = await http.post("/v1/feedback", json={"feedback_id": before.feedback_id, "label": "3"})
        assert (told.status_code, told.json()["counted"]) == (200, True)
        release = await releases.until({"progressing"}, BOUND_S)
        assert (release["release"], release["weight"]) == (before.release["release"], 30)
        assert await answers_of(http) == before.answers
        without = await http.post(PREDICT, content=digit_png(1), headers={"authorization": ""})
        assert without.status_code == 401
        promoted = await releases.http.post("/v1/models/digits/release/promote")
        assert promoted.status_code == 200, promoted.text
        await releases.until({"promoted"}, BOUND_S)
