"""What can be set about a model server."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from services.shared.engine.load_guard import TRIAL_TIMEOUT_S, trial_timeout_s
from services.shared.settings import LOG_LEVELS, SettingsError, Variables, is_loopback, tls_files
from services.shared.tracing.settings import TracingSettings, tracing_settings


@dataclass(frozen=True, slots=True)
class ModelServerSettings:
    """Port 0 takes any free port. All three listen on `host`.

    `drain_delay_s`: how long calls are still accepted after SIGTERM, because endpoints lag behind readiness.
    `finish_s`: how long accepted calls may take after that. `trial_timeout_s`: how long a new version may be tried in a
    process of its own before it is loaded; 0: it is not tried. `max_connection_age_s`: gRPC connections are ended, once
    their calls are, so that callers look again for whom to call; 0: they are kept. With `admin_key`, repository calls
    need it as a bearer token; it is required where other machines reach the ports. With a certificate, gRPC and HTTP
    speak TLS. `access_log`: there is a line for each call.
    """

    models_dir: Path
    data_dir: Path
    cores: int
    host: str = "127.0.0.1"
    grpc_port: int = 8001
    http_port: int = 8000
    metrics_port: int = 8002
    drain_delay_s: float = 0.0
    finish_s: float = 30.0
    trial_timeout_s: float = TRIAL_TIMEOUT_S
    max_message_bytes: int = 64 * 1024 * 1024
    max_connection_age_s: float = 0.0
    admin_key: str = ""
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    log_level: str = "info"
    access_log: bool = True
    tracing: TracingSettings = field(default_factory=TracingSettings)

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the ports."""
        return is_loopback(self.host)


def model_server_settings(values: Mapping[str, str]) -> ModelServerSettings:
    """Settings from variables `GRAYSCALE_…`; raises SettingsError naming the variable and what it accepts."""
    variables = Variables(values)
    models_dir = variables.path("GRAYSCALE_MODELS", Path("models"))
    if not models_dir.is_dir():
        raise SettingsError(f"GRAYSCALE_MODELS is {str(models_dir)!r}: name a directory with a model repository")
    host, admin_key = variables.text("GRAYSCALE_HOST", "127.0.0.1"), variables.text("GRAYSCALE_MODEL_SERVER_KEY", "")
    if not admin_key and not is_loopback(host):
        raise SettingsError(
            f"GRAYSCALE_HOST is {host!r}, which other machines reach: set GRAYSCALE_MODEL_SERVER_KEY, the key for "
            "loading and unloading models, here and for the API"
        )
    certificate, key = tls_files(variables, "GRAYSCALE_MODEL_SERVER_TLS_CERT", "GRAYSCALE_MODEL_SERVER_TLS_KEY")
    return ModelServerSettings(
        models_dir=models_dir,
        data_dir=variables.path("GRAYSCALE_DATA_DIR", Path(".grayscale")),
        cores=variables.integer("GRAYSCALE_CORES", len(os.sched_getaffinity(0)), minimum=1),
        host=host,
        grpc_port=variables.integer("GRAYSCALE_GRPC_PORT", 8001, maximum=65535),
        http_port=variables.integer("GRAYSCALE_HTTP_PORT", 8000, maximum=65535),
        metrics_port=variables.integer("GRAYSCALE_METRICS_PORT", 8002, maximum=65535),
        drain_delay_s=variables.seconds("GRAYSCALE_DRAIN_DELAY_S", 0.0),
        finish_s=variables.seconds("GRAYSCALE_FINISH_S", 30.0),
        trial_timeout_s=trial_timeout_s(variables),
        max_message_bytes=variables.integer("GRAYSCALE_MAX_MESSAGE_BYTES", 64 * 1024 * 1024, minimum=1024),
        max_connection_age_s=variables.seconds("GRAYSCALE_MAX_CONNECTION_AGE_S", 0.0),
        admin_key=admin_key,
        tls_certificate=certificate,
        tls_key=key,
        log_level=variables.word("GRAYSCALE_LOG_LEVEL", "info", LOG_LEVELS),
        access_log=variables.flag("GRAYSCALE_ACCESS_LOG", True),
        tracing=tracing_settings(values),
    )
