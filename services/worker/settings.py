"""The worker's settings, from variables `GRAYSCALE_…`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from services.shared.blobs.settings import BlobSettings, blob_settings
from services.shared.engine.load_guard import TRIAL_TIMEOUT_S, trial_timeout_s
from services.shared.imaging.limits import MAX_PIXELS
from services.shared.jobs.settings import JobStoreSettings, job_store_settings
from services.shared.outbound.settings import OutboundSettings, outbound_settings
from services.shared.redis_url import parse_redis_url
from services.shared.settings import LOG_LEVELS, SettingsError, Variables
from services.shared.tracing.settings import TracingSettings, tracing_settings

METRICS_DIR = "GRAYSCALE_WORKER_METRICS_DIR"  # set by the parent: where its processes add up their numbers
PORT = 8003
MAX_PROCESSES = 256


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """`redis_url` is where jobs are kept. `port` is for health and metrics; None means PORT, or any free one where
    that is taken. `runners`: how many chunks each process has in work. `drain_s`: how long they may take after SIGTERM.

    `model_server` and its kin are the API's; empty means that the models run in the worker's own processes.
    `trial_timeout_s`: how long a new version may be tried in a process of its own before it is loaded; 0: not at all.
    `is_courteous`: the worker takes only what others leave of the CPU. `max_image_bytes` is of one item.
    """

    redis_url: str
    models_dir: Path = Path("models")
    data_dir: Path = Path(".grayscale")
    host: str = "127.0.0.1"
    port: int | None = None
    processes: int = 1
    runners: int = 2
    drain_s: float = 20.0
    is_courteous: bool = False
    model_server: str = ""
    model_server_key: str = ""
    model_server_ca: Path | None = None
    trial_timeout_s: float = TRIAL_TIMEOUT_S
    log_level: str = "info"
    metrics_dir: Path | None = None
    max_pixels: int = MAX_PIXELS
    decode_memory_bytes: int = 512 * 2**20
    max_image_bytes: int = 64 * 2**20
    blobs: BlobSettings = field(default_factory=lambda: BlobSettings(Path(".grayscale/blobs")))
    store: JobStoreSettings = field(default_factory=JobStoreSettings)
    outbound: OutboundSettings = field(default_factory=OutboundSettings)
    tracing: TracingSettings = field(default_factory=TracingSettings)

    @property
    def cores(self) -> int:
        """CPU cores for the models of one process."""
        return max(1, len(os.sched_getaffinity(0)) // self.processes)


def worker_settings(environment: Mapping[str, str]) -> WorkerSettings:
    """Raises SettingsError naming the variable."""
    variables = Variables(environment)
    default = WorkerSettings("")
    models_dir = variables.path("GRAYSCALE_MODELS", default.models_dir)
    model_server = variables.text("GRAYSCALE_MODEL_SERVER_URL", "")
    if not model_server and not models_dir.is_dir():
        raise SettingsError(f"GRAYSCALE_MODELS is {str(models_dir)!r}: no such directory")
    data_dir = variables.path("GRAYSCALE_DATA_DIR", default.data_dir)
    cores = min(len(os.sched_getaffinity(0)), MAX_PROCESSES)
    return WorkerSettings(
        redis_url=_redis_url(variables),
        models_dir=models_dir,
        data_dir=data_dir,
        host=variables.text("GRAYSCALE_WORKER_HOST", default.host),
        port=variables.integer("GRAYSCALE_WORKER_PORT", -1, maximum=65535) if _has_port(environment) else None,
        processes=variables.integer("GRAYSCALE_WORKER_PROCESSES", cores, minimum=1, maximum=MAX_PROCESSES),
        runners=variables.integer("GRAYSCALE_WORKER_RUNNERS", default.runners, minimum=1, maximum=64),
        drain_s=variables.seconds("GRAYSCALE_WORKER_DRAIN_S", default.drain_s),
        is_courteous=variables.flag("GRAYSCALE_WORKER_COURTEOUS", default.is_courteous),
        model_server=model_server,
        model_server_key=variables.text("GRAYSCALE_MODEL_SERVER_KEY", ""),
        model_server_ca=variables.file("GRAYSCALE_MODEL_SERVER_CA"),
        trial_timeout_s=trial_timeout_s(variables),
        log_level=variables.word("GRAYSCALE_LOG_LEVEL", default.log_level, LOG_LEVELS),
        metrics_dir=Path(environment[METRICS_DIR]) if environment.get(METRICS_DIR) else None,
        max_pixels=variables.integer("GRAYSCALE_MAX_PIXELS", default.max_pixels, minimum=1),
        decode_memory_bytes=variables.integer("GRAYSCALE_DECODE_MEMORY_BYTES", default.decode_memory_bytes, minimum=1),
        max_image_bytes=variables.integer("GRAYSCALE_MAX_BODY_BYTES", default.max_image_bytes, minimum=1),
        blobs=blob_settings(variables, data_dir),
        store=job_store_settings(variables),
        outbound=outbound_settings(variables),
        tracing=tracing_settings(environment),
    )


def _has_port(environment: Mapping[str, str]) -> bool:
    return bool(environment.get("GRAYSCALE_WORKER_PORT"))


def _redis_url(variables: Variables) -> str:
    url = variables.text("GRAYSCALE_REDIS_URL", "")
    if not url:
        raise SettingsError("GRAYSCALE_REDIS_URL is not set: jobs are kept there; use redis://HOST:PORT/0")
    parse_redis_url(url)
    return url
