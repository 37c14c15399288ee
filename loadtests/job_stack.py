"""`grayscale up` as a user starts it, on free ports, and a client that sends it jobs."""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import os
import sys
import time
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from services.cli.measure.grayscale_server import Serving, answers
from services.cli.measure.load import MeasurementFailed
from services.cli.measure.server_process import ServerProcess, free_port, started

_API_READY, _WORKER_READY = '"message":"an API process is ready"', '"message":"a worker process is ready"'
_POLL_S = 0.05
_LONGEST_S = 600.0


@dataclass(frozen=True, slots=True)
class JobRun:
    """A job that has ended, by the store's own clock: `seconds` from its acceptance to its last result."""

    total: int
    done: int
    seconds: float

    @property
    def images_per_s(self) -> float:
        return self.done / self.seconds if self.seconds > 0 else 0.0


@contextlib.contextmanager
def stack(
    models: Path, directory: Path, *, model_server: bool, variables: Mapping[str, str], max_images: int
) -> Iterator[Serving]:
    """Everything that `up` runs, each process of it ready; `variables` go to all of them, on top of the defaults."""
    directory.mkdir(parents=True, exist_ok=True)
    cores, log = len(os.sched_getaffinity(0)), directory / "up.log"
    environment = up_environment(models, directory, {"GRAYSCALE_JOB_MAX_IMAGES": str(max_images), **variables})
    port, worker_port = int(environment["GRAYSCALE_PORT"]), int(environment["GRAYSCALE_WORKER_PORT"])
    apis = int(environment.get("GRAYSCALE_PROCESSES", cores))
    workers = int(environment.get("GRAYSCALE_WORKER_PROCESSES", cores))

    def ready(_: ServerProcess) -> bool:
        said = log.read_text(errors="replace")
        if said.count(_API_READY) < apis or said.count(_WORKER_READY) < workers:
            return False
        return answers(port, "/healthz/ready") and answers(worker_port, "/healthz/ready")

    command = [sys.executable, "-m", "services.cli", "up", *(["--model-server"] if model_server else [])]
    with started(command, environment, log, ready) as server:
        yield Serving(f"http://127.0.0.1:{port}", (server,))


def up_environment(models: Path, directory: Path, variables: Mapping[str, str]) -> dict[str, str]:
    """For an `up` of one's own: free ports, and its state in `directory`; `variables` on top of the defaults."""
    services = ("", "WORKER_", "CONTROLLER_", "GRPC_", "HTTP_", "METRICS_")
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("GRAYSCALE_")},
        **{f"GRAYSCALE_{service}PORT": str(free_port()) for service in services},
        "GRAYSCALE_MODELS": str(models.resolve()),
        "GRAYSCALE_DATA_DIR": str((directory / "data").resolve()),
        **variables,
    }


def archive_of(picture: Path, count: int) -> bytes:
    """A zip archive with the picture so many times, each under its own name, as it is: pictures are compressed."""
    out, data = io.BytesIO(), picture.read_bytes()
    with zipfile.ZipFile(out, "w") as archive:
        for index in range(count):
            archive.writestr(f"{index:06d}{picture.suffix}", data)
    return out.getvalue()


class JobClient:
    """Of one server and model."""

    def __init__(self, serving: Serving, model: str) -> None:
        self._address, self._model = serving.url.removeprefix("http://"), model

    def submit(self, archive: bytes) -> str:
        """The id of the accepted job. Raises MeasurementFailed."""
        status, document = self._ask(
            "POST", f"/v1/models/{self._model}/jobs", archive, {"Content-Type": "application/zip"}
        )
        if status != 202:
            raise MeasurementFailed(f"a job was refused with {status}: {document.get('detail')}")
        return str(document["job_id"])

    def has_ended(self, job_id: str) -> bool:
        return self._job(job_id)["finished_at"] is not None

    def ended(self, job_id: str) -> JobRun:
        """Waits for the end. Raises MeasurementFailed where it does not come, or some images have no answer."""
        end = time.monotonic() + _LONGEST_S
        while (job := self._job(job_id))["finished_at"] is None:
            if time.monotonic() > end:
                raise MeasurementFailed(
                    f"a job has not ended after {_LONGEST_S:.0f} s: {job['done']} of {job['total']}"
                )
            time.sleep(_POLL_S)
        return run_of(job)

    def _job(self, job_id: str) -> dict[str, Any]:
        status, document = self._ask("GET", f"/v1/jobs/{job_id}")
        if status != 200:
            raise MeasurementFailed(f"a job cannot be asked for: {status}")
        return document

    def _ask(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, dict[str, Any]]:
        with contextlib.closing(http.client.HTTPConnection(self._address, timeout=_LONGEST_S)) as connection:
            try:
                connection.request(method, path, body, dict(headers or {}))
                response = connection.getresponse()
                return response.status, json.loads(response.read())
            except (OSError, ValueError, http.client.HTTPException) as error:
                raise MeasurementFailed(f"the server did not answer {method} {path}: {error}") from error


def run_of(job: Mapping[str, Any]) -> JobRun:
    """Of the document of a job that has ended. Raises MeasurementFailed where an image has no answer."""
    if job["done"] != job["total"]:
        raise MeasurementFailed(f"a job {job['state']}: {job['done']} of {job['total']} images were answered")
    begin, end = (datetime.fromisoformat(job[name]) for name in ("created_at", "finished_at"))
    return JobRun(job["total"], job["done"], (end - begin).total_seconds())
