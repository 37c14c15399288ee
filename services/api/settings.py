"""The inference API's settings, from variables `GRAYSCALE_…`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from services.api.admission import AdmissionLimits
from services.api.job_settings import JobSettings, job_settings
from services.api.uploads import UploadLimits
from services.shared.asgi import BodyLimits
from services.shared.engine.load_guard import TRIAL_TIMEOUT_S, trial_timeout_s
from services.shared.imaging.limits import MAX_PIXELS
from services.shared.outbound.settings import OutboundSettings, outbound_settings
from services.shared.redis_url import parse_redis_url
from services.shared.settings import LOG_LEVELS, SettingsError, Variables, is_loopback, tls_files
from services.shared.tracing.settings import TracingSettings, tracing_settings

MAX_PROCESSES = 256
METRICS_DIR = "GRAYSCALE_METRICS_DIR"  # set by the parent: where its processes add up their numbers


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """`model_server` is the gRPC address of a model server; empty means that the models run inside the API's processes.
    `model_server_key` is sent to it; with `model_server_ca`, a file of certificates to trust, it is spoken to by TLS.

    `drain_delay_s`: how long connections are still accepted after SIGTERM, because endpoints lag behind readiness.
    `finish_s`: how long accepted requests may take after that. `redis_url`: where quotas are counted and jobs are kept;
    empty means that each process counts for itself and accepts no jobs. `decode_memory_bytes`: pixels decoded at once,
    of one process. `trial_timeout_s`: how long a new version may be tried in a process of its own before it is loaded;
    0: it is not tried.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    processes: int = 1
    models_dir: Path = Path("models")
    data_dir: Path = Path(".grayscale")
    model_server: str = ""
    model_server_key: str = ""
    model_server_ca: Path | None = None
    drain_delay_s: float = 0.0
    finish_s: float = 30.0
    trial_timeout_s: float = TRIAL_TIMEOUT_S
    log_level: str = "info"
    access_log: bool = True
    metrics_dir: Path | None = None
    require_key: bool = False
    redis_url: str = ""
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    default_timeout_s: float = 60.0
    max_pixels: int = MAX_PIXELS
    decode_memory_bytes: int = 512 * 1024 * 1024
    upload: UploadLimits = field(default_factory=UploadLimits)
    admission: AdmissionLimits = field(default_factory=AdmissionLimits)
    outbound: OutboundSettings = field(default_factory=OutboundSettings)
    jobs: JobSettings = field(default_factory=JobSettings)
    tracing: TracingSettings = field(default_factory=TracingSettings)

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine reaches the API."""
        return is_loopback(self.host)

    @property
    def cores(self) -> int:
        """CPU cores for the models of one process."""
        return max(1, len(os.sched_getaffinity(0)) // self.processes)


def api_settings(environment: Mapping[str, str]) -> ApiSettings:
    """Raises SettingsError naming the variable."""
    variables = Variables(environment)
    default = ApiSettings()
    models_dir = variables.path("GRAYSCALE_MODELS", default.models_dir)
    model_server = variables.text("GRAYSCALE_MODEL_SERVER_URL", "")
    if not model_server and not models_dir.is_dir():
        raise SettingsError(f"GRAYSCALE_MODELS is {str(models_dir)!r}: no such directory")
    data_dir = variables.path("GRAYSCALE_DATA_DIR", default.data_dir)
    certificate, key = tls_files(variables, "GRAYSCALE_TLS_CERT", "GRAYSCALE_TLS_KEY")
    return ApiSettings(
        host=variables.text("GRAYSCALE_HOST", default.host),
        port=variables.integer("GRAYSCALE_PORT", default.port, maximum=65535),
        processes=variables.integer("GRAYSCALE_PROCESSES", default.processes, minimum=1, maximum=MAX_PROCESSES),
        models_dir=models_dir,
        data_dir=data_dir,
        model_server=model_server,
        model_server_key=variables.text("GRAYSCALE_MODEL_SERVER_KEY", ""),
        model_server_ca=variables.file("GRAYSCALE_MODEL_SERVER_CA"),
        drain_delay_s=variables.seconds("GRAYSCALE_DRAIN_DELAY_S", default.drain_delay_s),
        finish_s=variables.seconds("GRAYSCALE_FINISH_S", default.finish_s),
        trial_timeout_s=trial_timeout_s(variables),
        log_level=variables.word("GRAYSCALE_LOG_LEVEL", default.log_level, LOG_LEVELS),
        access_log=variables.flag("GRAYSCALE_ACCESS_LOG", default.access_log),
        metrics_dir=Path(environment[METRICS_DIR]) if environment.get(METRICS_DIR) else None,
        require_key=variables.flag("GRAYSCALE_REQUIRE_KEY", default.require_key),
        redis_url=_redis_url(variables, default),
        tls_certificate=certificate,
        tls_key=key,
        default_timeout_s=_default_timeout_s(variables, default),
        max_pixels=variables.integer("GRAYSCALE_MAX_PIXELS", default.max_pixels, minimum=1),
        decode_memory_bytes=variables.integer("GRAYSCALE_DECODE_MEMORY_BYTES", default.decode_memory_bytes, minimum=1),
        upload=_upload(variables, default.upload),
        admission=_admission(variables, default.admission),
        outbound=outbound_settings(variables),
        jobs=job_settings(variables, data_dir),
        tracing=tracing_settings(environment),
    )


def _admission(variables: Variables, default: AdmissionLimits) -> AdmissionLimits:
    max_wait_ms = round(1000 * default.max_wait_s)
    return AdmissionLimits(
        max_requests=variables.integer("GRAYSCALE_MAX_IN_FLIGHT", default.max_requests, minimum=1),
        max_bytes=variables.integer("GRAYSCALE_MAX_IN_FLIGHT_BYTES", default.max_bytes, minimum=1, maximum=2**62),
        max_wait_s=variables.integer("GRAYSCALE_MAX_WAIT_MS", max_wait_ms, minimum=1, maximum=600_000) / 1000,
    )


def _upload(variables: Variables, default: UploadLimits) -> UploadLimits:
    return UploadLimits(
        BodyLimits(
            max_bytes=variables.integer("GRAYSCALE_MAX_BODY_BYTES", default.body.max_bytes, minimum=1),
            timeout_s=variables.seconds("GRAYSCALE_BODY_TIMEOUT_S", default.body.timeout_s),
            idle_s=variables.seconds("GRAYSCALE_BODY_IDLE_S", default.body.idle_s),
        ),
        max_images=variables.integer("GRAYSCALE_MAX_IMAGES", default.max_images, minimum=1, maximum=4096),
    )


def _redis_url(variables: Variables, default: ApiSettings) -> str:
    url = variables.text("GRAYSCALE_REDIS_URL", default.redis_url)
    if url:
        parse_redis_url(url)
    return url


def _default_timeout_s(variables: Variables, default: ApiSettings) -> float:
    milliseconds = round(default.default_timeout_s * 1000)
    return variables.integer("GRAYSCALE_TIMEOUT_MS", milliseconds, minimum=1, maximum=600_000) / 1000
