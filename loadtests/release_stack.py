"""`grayscale up` with a release in progress: half of the keys get a second version, which is the same model."""

from __future__ import annotations

import contextlib
import http.client
import json
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
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
    environment = up_environment(models, directory, {"GRAYSCALE_PROCESSES": str(processes)})
    port, log = int(environment["GRAYSCALE_PORT"]), directory / "up.log"

    def ready(_: ServerProcess) -> bool:
        return log.read_text(errors="replace").count(API_READY) >= processes and answers(port, "/healthz/ready")

    with started((sys.executable, "-m", "services.cli", "up", "--no-worker"), environment, log, ready) as server:
        key = (Path(environment["GRAYSCALE_DATA_DIR"]) / "admin.key").read_text().strip()
        _begin(port, key, own.ref.name, stable, candidate)
        yield Serving(f"http://127.0.0.1:{port}", (server,))


def _begin(port: int, key: str, model: str, stable: int, candidate: int) -> None:
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
    state = _ask(port, key, "PUT", path, plan)
    while state.get("weight") != WEIGHT:
        if time.monotonic() > end:
            raise MeasurementFailed(f"the release is not at {WEIGHT} % after {_LONGEST_S:.0f} s: {state}")
        time.sleep(_POLL_S)
        state = _ask(port, key, "GET", path)


def _ask(port: int, key: str, method: str, path: str, plan: dict[str, Any] | None = None) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        connection.request(method, path, None if plan is None else json.dumps(plan), headers)
        answer = connection.getresponse()
        document: dict[str, Any] = json.loads(answer.read())
    if answer.status >= 400:
        raise MeasurementFailed(f"{method} {path} was refused with {answer.status}: {document.get('detail')}")
    return document
