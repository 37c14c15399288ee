"""`grayscale up` with a release in progress: half of the keys get a second version, which is the same model."""

from __future__ import annotations

import contextlib
import http.client
import json
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loadtests.job_stack import up_environment
from services.cli.measure.grayscale_server import API_READY, Serving, answers
from services.cli.measure.load import Generator, MeasurementFailed
from services.cli.measure.lone_model import LoneModel, lone_model
from services.cli.measure.rounds import Measure, Open, Workload
from services.cli.measure.rows import Point
from services.cli.measure.server_process import ServerProcess, started
from services.cli.measure.ways import ServedMeasure, Target, own_model

WEIGHT = 50
_LONGEST_S, _POLL_S = 60.0, 0.1


def with_release(generator: Generator, processes: int) -> Open:
    """The API with the engine inside, routing by a release and counting evidence, and a controller that looks at it."""

    @contextlib.contextmanager
    def start(workload: Workload, _: Sequence[Point], place: Path) -> Iterator[Measure]:
        with released(own_model(workload), place, processes=processes) as serving:
            yield ServedMeasure(Target(serving.predict_url(workload.model), serving.processes), generator)

    return start


@contextlib.contextmanager
def released(own: LoneModel, directory: Path, *, processes: int) -> Iterator[Serving]:
    """Raises MeasurementFailed when the release does not get to its weight."""
    stable, candidate = own.ref.version, own.ref.version + 1
    models = lone_model(own.models, own.ref, directory / "models").models
    home = models / own.ref.name
    shutil.copytree(home / str(stable), home / str(candidate))
    with controlled(models, directory, processes=processes) as (serving, administrator):
        _begin(administrator, own.ref.name, stable, candidate)
        yield serving


@dataclass(frozen=True, slots=True)
class Administrator:
    port: int
    key: str

    def ask(self, method: str, path: str, plan: dict[str, Any] | None = None) -> dict[str, Any]:
        """Raises MeasurementFailed when it is refused."""
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)) as connection:
            connection.request(method, path, None if plan is None else json.dumps(plan), headers)
            answer = connection.getresponse()
            document: dict[str, Any] = json.loads(answer.read())
        if answer.status >= 400:
            raise MeasurementFailed(f"{method} {path} was refused with {answer.status}: {document.get('detail')}")
        return document


@contextlib.contextmanager
def controlled(models: Path, directory: Path, *, processes: int) -> Iterator[tuple[Serving, Administrator]]:
    """Everything that `up` runs but workers, each API process of it ready."""
    environment = up_environment(models, directory, {"GRAYSCALE_PROCESSES": str(processes)})
    port, log = int(environment["GRAYSCALE_PORT"]), directory / "up.log"

    def ready(_: ServerProcess) -> bool:
        return log.read_text(errors="replace").count(API_READY) >= processes and answers(port, "/healthz/ready")

    with started((sys.executable, "-m", "services.cli", "up", "--no-worker"), environment, log, ready) as server:
        key = (Path(environment["GRAYSCALE_DATA_DIR"]) / "admin.key").read_text().strip()
        yield Serving(f"http://127.0.0.1:{port}", (server,)), Administrator(port, key)


def _begin(administrator: Administrator, model: str, stable: int, candidate: int) -> None:
    plan = {
        "model": model,
        "stable": {"model": model, "version": stable},
        "candidate": {"model": model, "version": candidate},
        "strategy": "canary",
        "steps": [{"weight": WEIGHT, "for": "1h"}],
        "guardrails": [
            {"metric": "error_rate", "max_increase": 0.05},
            {"metric": "latency_p95", "max_ratio": 2},
            {"metric": "prediction_shift", "max": 0.2},
        ],
        "on_fail": "pause",  # whatever is found, half of the requests are the candidate's
    }
    path, end = f"/v1/models/{model}/release", time.monotonic() + _LONGEST_S
    state = administrator.ask("PUT", path, plan)
    while state.get("weight") != WEIGHT:
        if time.monotonic() > end:
            raise MeasurementFailed(f"the release is not at {WEIGHT} % after {_LONGEST_S:.0f} s: {state}")
        time.sleep(_POLL_S)
        state = administrator.ask("GET", path)
