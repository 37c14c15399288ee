"""The stack's volumes are lost, and what was in them is there again, by the commands of docs/operations.md."""

from __future__ import annotations

import shutil
from pathlib import Path

import httpx
import pytest

from tests.support.containers import CALL_S, UP_S, ComposeStack
from tests.support.documented import commands_below, run_documented
from tests.support.images import digit_png
from tests.support.job_client import JobClient
from tests.support.stack import ROOT

pytestmark = pytest.mark.timeout(300)

OPERATIONS = ROOT / "docs/operations.md"


async def test_what_was_in_lost_volumes_is_restored_from_a_backup(compose: ComposeStack, tmp_path: Path) -> None:
    async with httpx.AsyncClient(base_url=compose.url, timeout=CALL_S) as http:
        client, admin = JobClient(http), compose.admin
        job = await client.submit([digit_png(index) for index in range(10)])
        assert (await client.ended(job))["state"] == "succeeded"
        lines = await client.results(job)
        documented("### Back up Compose", compose, tmp_path)
        compose.compose("kill")
        compose.down()
        shutil.rmtree(compose.models)
        documented("### Restore in Compose", compose, tmp_path)
        shown = await client.shown(job)
        assert (shown["state"], shown["done"]) == ("succeeded", 10)
        assert await client.results(job) == lines
        assert compose.admin == admin
        again = await client.submit([digit_png(index) for index in range(10)])
        assert (await client.ended(again))["state"] == "succeeded"


def documented(heading: str, compose: ComposeStack, directory: Path) -> None:
    """Beside the models, where the stack has a directory of its own for them."""
    variables = {**compose.variables, "COMPOSE_PROJECT_NAME": compose.project}
    commands = commands_below(OPERATIONS, heading).replace("../models-of-mine", str(compose.models))
    run_documented(commands, directory, variables, timeout_s=UP_S)
