"""A stack under load, with a job and a release that is rolled back, watched by a real Prometheus: its rules load, no
alert fires that must not, and no query of a dashboard comes back empty."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import yaml

from services.monitoring.alerts.files import COMPOSE
from services.monitoring.dashboards.base import Board, Needs
from services.monitoring.dashboards.files import boards
from tests.support import bad_candidates
from tests.support.images import digit_png
from tests.support.job_client import JobClient
from tests.support.prometheus_server import Prometheus, running_prometheus
from tests.support.promtool import require
from tests.support.release_client import OVER, ReleaseClient
from tests.support.stack import ROOT, Stack, free_ports, running_stack
from tests.support.steady_load import SteadyLoad
from tests.support.valkey import require_valkey

RATE = 100.0
CONSTANT = 2
BOUND_S = 30.0
PICTURES = 60
CHUNKS = "grayscale_jobs_chunk_duration_seconds_count"
KNOWN = (  # what comes last
    'ALERTS{alertname="GrayscaleRollback"}',
    f"sum(rate({CHUNKS}[10s])) > 0",
    "grayscale_drift_score",  # of a hundred pictures, and a process looks at five a second
)
MAY_FIRE = {"GrayscaleRollback"}
# This machine's disk is nobody's fault, and the load is fifty pictures over and over.
MAY_BEGIN = {"GrayscaleDiskFull", "GrayscaleDataDrift"}
PLAN = {
    "model": "digits",
    "candidate": {"model": "digits", "version": CONSTANT},
    "strategy": "canary",
    "steps": [{"weight": 50, "for": "60s", "min_requests": 20}],
    "guardrails": [{"metric": "prediction_shift", "max": 0.3}],
}


@dataclass(frozen=True, slots=True)
class Watched:
    prometheus: Prometheus
    since: float
    release: str


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """After the load, the job and the rollback."""
    require_valkey()
    require("prometheus")
    directory = tmp_path_factory.mktemp("monitoring")
    model = bad_candidates.repository_with_one_version(directory / "models")
    bad_candidates.add_constant(model, CONSTANT)
    own = dict(zip(("worker", "controller", "web"), free_ports(3), strict=True))
    environment = {f"GRAYSCALE_{name.upper()}_PORT": str(port) for name, port in own.items()}
    environment["GRAYSCALE_WITH_WEB"] = "1"
    with running_stack(
        directory, "--processes", "4", "--model-server", models=directory / "models", environment=environment
    ) as stack:
        ports = {"api": stack.ports["api"], "model_server": stack.ports["metrics"], **own}
        with running_prometheus(directory / "prometheus", ports) as prometheus:
            since = time.time()
            yield Watched(prometheus, since, asyncio.run(_rolled_back(stack, prometheus)))


async def _rolled_back(stack: Stack, prometheus: Prometheus) -> str:
    """The id of a release that was taken back under load, while a job was worked on; as soon as Prometheus knows."""
    client = ReleaseClient(stack)
    async with client.http, SteadyLoad(f"{stack.url}/v1/models/digits/predict", RATE).running() as load:
        release = str((await client.apply(PLAN))["release"])
        jobs = JobClient(client.http)
        await client.until({"progressing"}, BOUND_S)
        job = await jobs.submit([digit_png(n % 10) for n in range(PICTURES)])
        state = await client.until(OVER, BOUND_S)
        assert state["phase"] == "rolled_back", state
        assert (await jobs.ended(job))["state"] == "succeeded"
        await _known(prometheus, CHUNKS)
        await jobs.submit([digit_png(n % 10) for n in range(PICTURES)])  # a rate begins with the second number
        for query in KNOWN:
            await _known(prometheus, query)
        assert load.failed() == []
    return release


async def _known(prometheus: Prometheus, query: str) -> None:
    end = time.monotonic() + BOUND_S
    while not await asyncio.to_thread(prometheus.now, query):
        assert time.monotonic() < end, query
        await asyncio.sleep(0.1)


def test_all_rules_load_and_can_be_evaluated(watched: Watched) -> None:
    groups = watched.prometheus.get("rules")["groups"]
    written = yaml.safe_load((ROOT / COMPOSE).read_text())["groups"]
    assert {g["name"]: len(g["rules"]) for g in groups} == {g["name"]: len(g["rules"]) for g in written}
    for rule in (rule for group in groups for rule in group["rules"]):
        assert (rule["health"], rule.get("lastError", "")) == ("ok", ""), rule


def test_no_alert_fires_but_that_of_the_rollback(watched: Watched) -> None:
    fired = watched.prometheus.now('count by (alertname) (last_over_time(ALERTS{alertstate="firing"}[5m]))')
    assert {sample["metric"]["alertname"] for sample in fired} == MAY_FIRE
    begun = {sample["metric"]["alertname"] for sample in watched.prometheus.now("ALERTS")}
    assert begun - MAY_BEGIN == MAY_FIRE


@pytest.mark.parametrize("board", boards(), ids=lambda board: board.uid)
def test_every_query_of_a_dashboard_returns_something(watched: Watched, board: Board) -> None:
    chosen = {
        "$__rate_interval": "10s",
        "$namespace": ".*",
        "$model": "digits",
        "$version": ".*",
        "$release": watched.release,
    }
    queries = {
        f"{panel.title}: {query.expr}": query.expr
        for row in board.rows
        for panel in row.panels
        for query in panel.queries
        if panel.needs is Needs.NOTHING
    }
    # An event need not have happened; what it looks at has to be there.
    queries |= {f"{event.name}: {event.expr}": event.expr.removesuffix(" > 0") for event in board.events}
    queries |= {
        f"${v.name}: {v.series}": f'{{{v.label}!="",__name__="{v.series.partition("{")[0]}"}}' for v in board.variables
    }
    empty = []
    for what, query in queries.items():
        for name, value in chosen.items():
            query = query.replace(name, value)  # noqa: PLW2901
        if not watched.prometheus.numbers(query, watched.since):
            empty.append(what)
    assert not empty, "\n".join(empty)
