"""The inference API's settings, from variables `GRAYSCALE_…`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from services.api.uploads import UploadLimits
from services.shared.settings import SettingsError, Variables

MAX_PROCESSES = 256
METRICS_DIR = "GRAYSCALE_METRICS_DIR"  # set by the parent: where its processes add up their numbers


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """`model_server` is the gRPC address of a model server; empty means that the models run inside the API's processes.

    `drain_delay_s`: how long connections are still accepted after SIGTERM, because endpoints lag behind readiness.
    `finish_s`: how long accepted requests may take after that.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    processes: int = 1
    models_dir: Path = Path("models")
    data_dir: Path = Path(".grayscale")
    model_server: str = ""
    drain_delay_s: float = 0.0
    finish_s: float = 30.0
    log_level: str = "info"
    access_log: bool = True
    metrics_dir: Path | None = None
    upload: UploadLimits = field(default_factory=UploadLimits)

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
    return ApiSettings(
        host=variables.text("GRAYSCALE_HOST", default.host),
        port=variables.integer("GRAYSCALE_PORT", default.port, maximum=65535),
        processes=variables.integer("GRAYSCALE_PROCESSES", default.processes, minimum=1, maximum=MAX_PROCESSES),
        models_dir=models_dir,
        data_dir=variables.path("GRAYSCALE_DATA_DIR", default.data_dir),
        model_server=model_server,
        drain_delay_s=variables.seconds("GRAYSCALE_DRAIN_DELAY_S", default.drain_delay_s),
        finish_s=variables.seconds("GRAYSCALE_FINISH_S", default.finish_s),
        log_level=variables.text("GRAYSCALE_LOG_LEVEL", default.log_level),
        access_log=variables.flag("GRAYSCALE_ACCESS_LOG", default.access_log),
        metrics_dir=Path(environment[METRICS_DIR]) if METRICS_DIR in environment else None,
        upload=UploadLimits(
            max_body_bytes=variables.integer("GRAYSCALE_MAX_BODY_BYTES", default.upload.max_body_bytes, minimum=1),
            max_images=variables.integer("GRAYSCALE_MAX_IMAGES", default.upload.max_images, minimum=1, maximum=4096),
            body_timeout_s=variables.seconds("GRAYSCALE_BODY_TIMEOUT_S", default.upload.body_timeout_s),
        ),
    )
