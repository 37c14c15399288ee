"""Grayscale's own servers as a benchmark starts them: as `grayscale api` and `grayscale model-server` are started, on
free ports of the loopback interface, with everything on that is on by default: limits, metrics, a line of log for each
request."""

from __future__ import annotations

import contextlib
import http.client
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from services.cli.measure.server_process import ServerProcess, free_port, started

_COMMAND = (sys.executable, "-m", "services.cli")
API_READY = '"message":"an API process is ready"'


@dataclass(frozen=True, slots=True)
class Serving:
    """Where a started stack answers, and the processes that it consists of."""

    url: str
    processes: tuple[ServerProcess, ...]

    def predict_url(self, model: str) -> str:
        return f"{self.url}/v1/models/{model}/predict"


@contextlib.contextmanager
def api(
    models: Path, directory: Path, *, processes: int, environment: Mapping[str, str] | None = None
) -> Iterator[Serving]:
    """The API with the engine inside, every process of it ready; its data directory and log lie in `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    port, log = free_port(), directory / "api.log"
    log.unlink(missing_ok=True)
    variables = {
        **_clean(os.environ),
        "GRAYSCALE_PORT": str(port),
        "GRAYSCALE_PROCESSES": str(processes),
        "GRAYSCALE_MODELS": str(models.resolve()),
        "GRAYSCALE_DATA_DIR": str((directory / "data").resolve()),
        **(environment or {}),
    }

    def ready(server: ServerProcess) -> bool:
        return log.read_text(errors="replace").count(API_READY) >= processes and answers(port, "/healthz/ready")

    with started((*_COMMAND, "api"), variables, log, ready) as server:
        yield Serving(f"http://127.0.0.1:{port}", (server,))


@contextlib.contextmanager
def api_and_model_server(models: Path, directory: Path) -> Iterator[Serving]:
    """One process of the API, which asks a model server by gRPC."""
    directory.mkdir(parents=True, exist_ok=True)
    grpc_port, http_port, metrics_port = free_port(), free_port(), free_port()
    variables = {
        **_clean(os.environ),
        "GRAYSCALE_MODELS": str(models.resolve()),
        "GRAYSCALE_DATA_DIR": str((directory / "data").resolve()),
        "GRAYSCALE_GRPC_PORT": str(grpc_port),
        "GRAYSCALE_HTTP_PORT": str(http_port),
        "GRAYSCALE_METRICS_PORT": str(metrics_port),
    }
    log = directory / "model-server.log"
    log.unlink(missing_ok=True)
    command = (*_COMMAND, "model-server")
    remote = {"GRAYSCALE_MODEL_SERVER_URL": f"127.0.0.1:{grpc_port}"}
    with (
        started(command, variables, log, lambda _: answers(http_port, "/v2/health/ready")) as server,
        api(models, directory, processes=1, environment=remote) as serving,
    ):
        yield Serving(serving.url, (*serving.processes, server))


def _clean(environment: Mapping[str, str]) -> dict[str, str]:
    """Without what somebody has set for a server of their own."""
    return {name: value for name, value in environment.items() if not name.startswith("GRAYSCALE_")}


def answers(port: int, path: str) -> bool:
    """Whether a server on this machine answers 200."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
        try:
            connection.request("GET", path)
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
