"""The controller's settings, from variables `GRAYSCALE_…`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from services.shared.redis_url import parse_redis_url
from services.shared.settings import LOG_LEVELS, SettingsError, Variables

PORT = 8004


@dataclass(frozen=True, slots=True)
class ControllerSettings:
    """`redis_url` is where releases, their evidence and the lease are kept, `data_dir` where the fleet's state is.
    `port` is for health and metrics; None means PORT, or any free one where that is taken. `prometheus_url` answers
    `promql` guardrails; empty: they stay open."""

    redis_url: str
    data_dir: Path = Path(".grayscale")
    host: str = "127.0.0.1"
    port: int | None = None
    prometheus_url: str = ""
    log_level: str = "info"


def controller_settings(environment: Mapping[str, str]) -> ControllerSettings:
    """Raises SettingsError naming the variable."""
    variables = Variables(environment)
    default = ControllerSettings("")
    has_port = bool(environment.get("GRAYSCALE_CONTROLLER_PORT"))
    return ControllerSettings(
        redis_url=_redis_url(variables),
        data_dir=variables.path("GRAYSCALE_DATA_DIR", default.data_dir),
        host=variables.text("GRAYSCALE_CONTROLLER_HOST", default.host),
        port=variables.integer("GRAYSCALE_CONTROLLER_PORT", -1, maximum=65535) if has_port else None,
        prometheus_url=_prometheus_url(variables),
        log_level=variables.word("GRAYSCALE_LOG_LEVEL", default.log_level, LOG_LEVELS),
    )


def _redis_url(variables: Variables) -> str:
    url = variables.text("GRAYSCALE_REDIS_URL", "")
    if not url:
        raise SettingsError("GRAYSCALE_REDIS_URL is not set: releases are kept there; use redis://HOST:PORT/0")
    parse_redis_url(url)
    return url


def _prometheus_url(variables: Variables) -> str:
    """Without the slash at its end. It may hold a password, so it is not repeated."""
    url = variables.text("GRAYSCALE_PROMETHEUS_URL", "").rstrip("/")
    if not url:
        return ""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number
        usable = False
    if not usable or parts.query or parts.fragment:
        raise SettingsError("GRAYSCALE_PROMETHEUS_URL cannot be used: it is http://HOST:PORT, with a path or without")
    return url
