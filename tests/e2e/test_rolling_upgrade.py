"""Every deployable is replaced by a fresh process while clients ask: the new one is ready before the old one ends."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from services.shared.jobs.redis import RedisJobStore
from services.shared.release_store.redis import RedisReleaseStore
from tests.support.deployables import Deployables, Instance
from tests.support.digit_models import add_rotated_version, copy_digits
from tests.support.images import digit_png
from tests.support.job_bodies import FORM_TYPE, images
from tests.support.live_releases import live_release, put_release, until_followed
from tests.support.service_address import Backend, ServiceAddress
from tests.support.stack import free_ports
from tests.support.steady_load import SteadyLoad
from tests.support.valkey import ValkeyServer, running_valkey
from tests.support.worker_process import all_results, until_ended

KINDS = (
    "model-server",
    "worker",
    "controller",
    "api",
    "web",
)  # those who read what is stored before those who write it
SERVED = ("model-server", "api", "web")
SIZE, EVERY_S = 6, 0.3
PREDICT = "/v1/models/digits/predict"


@dataclass(slots=True)
class Site:
    """An instance of each deployable, and the address that clients know of those that serve."""

    deployables: Deployables
    addresses: dict[str, ServiceAddress]
    now: dict[str, Instance] = field(default_factory=dict)

    def start(self, kind: str) -> Instance:
        """One more instance; it is given connections when it is ready."""
        far = {name: f"127.0.0.1:{address.port}" for name, address in self.addresses.items()}
        variables = {"GRAYSCALE_API_URL": f"http://{far['api']}"} if kind == "web" else {}
        if kind in ("api", "worker"):
            variables["GRAYSCALE_MODEL_SERVER_URL"] = far["model-server"]
        instance = self.deployables.start(kind, **variables)
        if kind in self.addresses:
            self.addresses[kind].backends.append(Backend(instance.port, instance.ready_url))
        return instance

    async def replace(self, kind: str) -> None:
        new = self.start(kind)
        await new.until_ready()
        old, self.now[kind] = self.now[kind], new
        assert await old.stop() == 0, old.log.read_text()[-3000:]


@dataclass(slots=True)
class JobLoad:
    """Small jobs, one after the other, each sent once."""

    url: str
    accepted: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[JobLoad]:
        ending = asyncio.Event()
        sending = asyncio.create_task(self._send(ending))
        try:
            yield self
        finally:
            ending.set()
            await sending

    async def _send(self, ending: asyncio.Event) -> None:
        body = images(*(digit_png(index) for index in range(SIZE)))
        async with httpx.AsyncClient(timeout=15) as http:
            while not ending.is_set():
                try:
                    answer = await http.post(self.url, content=body, headers={"content-type": FORM_TYPE.decode()})
                except httpx.HTTPError as error:
                    self.refused.append(repr(error))
                else:
                    job: dict[str, Any] = answer.json()
                    if answer.status_code == 202:
                        self.accepted.append(job["job_id"])
                    else:
                        self.refused.append(answer.text)
                await asyncio.sleep(EVERY_S)


def models(directory: Path) -> Path:
    """Two versions of digits, both loaded."""
    model = copy_digits(directory / "models")
    add_rotated_version(model, 2, 3)
    config = model / "config.pbtxt"
    config.write_text(config.read_text() + "\nversion_policy { all { } }\n")
    return directory / "models"


@contextlib.asynccontextmanager
async def running_site(directory: Path, server: ValkeyServer) -> AsyncIterator[Site]:
    shared = {
        "GRAYSCALE_REDIS_URL": server.url,
        "GRAYSCALE_DATA_DIR": str(server.data_dir),
        "GRAYSCALE_MODELS": str(models(directory)),
        "GRAYSCALE_PROCESSES": "1",
        "GRAYSCALE_WORKER_PROCESSES": "1",
        "GRAYSCALE_ACCESS_LOG": "0",
        "GRAYSCALE_MAX_WAIT_MS": "15000",  # a machine that is busy with other things is no reason to refuse
    }
    async with contextlib.AsyncExitStack() as stack:
        addresses = {kind: ServiceAddress(port) for kind, port in zip(SERVED, free_ports(3), strict=True)}
        deployables = stack.enter_context(Deployables(directory, shared).running())
        for address in addresses.values():
            await stack.enter_async_context(address.serving())
        site = Site(deployables, addresses)
        for kind in KINDS:
            site.now[kind] = site.start(kind)
        for instance in site.now.values():
            await instance.until_ready()
        yield site


async def check_jobs(server: ValkeyServer, job_ids: list[str]) -> None:
    """Each picture of each job has its one answer, and none was worked on in vain."""
    store = RedisJobStore(server.url)
    for job_id in job_ids:
        job = await until_ended(store, job_id)
        assert (job.state.value, job.done, job.failed) == ("succeeded", SIZE, 0)
        assert [result.index for result in await all_results(store, job_id)] == list(range(SIZE))
    totals = (await store.stats()).totals
    await store.close()
    assert totals["done"] == SIZE * len(job_ids)
    assert totals["lapsed"] == totals["retried"] == totals["buried"] == 0


async def test_no_request_and_no_picture_is_lost_while_every_deployable_is_replaced(tmp_path: Path) -> None:
    with running_valkey(tmp_path / "data") as server:
        async with running_site(tmp_path, server) as site:
            release = await put_release(server.url, live_release())
            await until_followed(server.data_dir, release, ("api", "worker"))
            api, web = (f"http://127.0.0.1:{site.addresses[kind].port}" for kind in ("api", "web"))
            direct, pages = SteadyLoad(api + PREDICT, 20.0), SteadyLoad(f"{web}/api{PREDICT}", 10.0)
            jobs = JobLoad(f"{web}/api/v1/models/digits/jobs")
            async with direct.running(), pages.running(), jobs.running():
                for kind in KINDS:
                    before = len(direct.answers), len(pages.answers), len(jobs.accepted)
                    await site.replace(kind)
                    now = len(direct.answers), len(pages.answers), len(jobs.accepted)
                    assert all(later > earlier for earlier, later in zip(before, now, strict=True)), kind
            assert (direct.failed(), pages.failed(), jobs.refused) == ([], [], [])
            await check_jobs(server, jobs.accepted)
            assert {answer.arm for answer in direct.answers} == {"candidate", "stable"}
            await check_release(server, release.state.release)


async def check_release(server: ValkeyServer, release: str) -> None:
    """It is where it was."""
    store = RedisReleaseStore(server.url)
    found = await store.get("digits")
    await store.close()
    state = found.state
    assert (state.release, state.phase.value, state.weight) == (release, "progressing", 50.0), state.reason
