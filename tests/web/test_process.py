"""`grayscale web` as a process: what it says, how it ends."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from tests.support.polling import BOUND_S, until
from tests.support.stack import ROOT
from tests.support.web_server import fake_api


@asynccontextmanager
async def _web(**variables: str) -> AsyncIterator[asyncio.subprocess.Process]:
    environment = {**os.environ, "GRAYSCALE_WEB_PORT": "0", **variables}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.cli", "web", cwd=ROOT, env=environment, stderr=asyncio.subprocess.PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _address(process: asyncio.subprocess.Process) -> str:
    assert process.stderr is not None
    async with asyncio.timeout(BOUND_S):
        while line := (await process.stderr.readline()).decode():
            if found := re.fullmatch(r"pages (\S+)\n", line):
                return found[1]
    raise AssertionError("it ended before it listened")


async def test_it_says_where_it_is_passes_on_and_finishes_what_it_began() -> None:
    async with fake_api() as (api, port), _web(GRAYSCALE_API_URL=f"http://127.0.0.1:{port}") as process:
        url = await _address(process)
        async with httpx.AsyncClient(base_url=url, timeout=BOUND_S, trust_env=False) as http:
            assert "Grayscale" in (await http.get("/")).text
            go_on = asyncio.Event()

            async def body() -> AsyncIterator[bytes]:
                yield b"begun "
                await go_on.wait()
                yield b"before the end"

            sending = asyncio.create_task(http.post("/api/echo", content=body()))
            await asyncio.wait_for(api.first_part.wait(), BOUND_S)
            process.send_signal(signal.SIGTERM)
            await until(lambda: _refuses(url))
            go_on.set()
            assert (await sending).text == "begun before the end"
        assert await asyncio.wait_for(process.wait(), BOUND_S) == 0


def _refuses(url: str) -> bool:
    host, _, port = url.removeprefix("http://").partition(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) != 0


async def test_what_it_cannot_use_ends_it_with_the_reason() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for variables, reason in (
            ({"GRAYSCALE_API_URL": "nonsense"}, b"GRAYSCALE_API_URL"),
            ({"GRAYSCALE_WEB_PORT": port}, b"choose another with GRAYSCALE_WEB_PORT"),
        ):
            async with _web(**variables) as process:
                _, err = await asyncio.wait_for(process.communicate(), BOUND_S)
            assert (process.returncode, reason in err) == (2, True)
