"""The settings of the pages' server, from variables `GRAYSCALE_…`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from services.shared.settings import LOG_LEVELS, SettingsError, Variables, tls_files

PORT = 8081
API_URL = "http://127.0.0.1:8080"


@dataclass(frozen=True, slots=True)
class WebSettings:
    """`port`: None means PORT, or any free one where that is taken. `api_url` has no slash at its end; `api_ca` is a
    file of certificates to trust there, instead of the system's, and `api_name` the name in its certificate where that
    is not the address's.

    `max_bytes` of one body that is passed on: the API's own limits are lower, and apply as well. `idle_s` is the
    longest pause between two parts of it. `drain_delay_s` and `finish_s` as for the API.
    """

    host: str = "127.0.0.1"
    port: int | None = None
    api_url: str = API_URL
    api_ca: Path | None = None
    api_name: str = ""
    max_bytes: int = 2**30 + 2**20
    idle_s: float = 15.0
    drain_delay_s: float = 0.0
    finish_s: float = 30.0
    log_level: str = "info"
    access_log: bool = True
    tls_certificate: Path | None = None
    tls_key: Path | None = None


def web_settings(environment: Mapping[str, str]) -> WebSettings:
    """Raises SettingsError naming the variable."""
    variables = Variables(environment)
    default = WebSettings()
    has_port = bool(environment.get("GRAYSCALE_WEB_PORT"))
    certificate, key = tls_files(variables, "GRAYSCALE_TLS_CERT", "GRAYSCALE_TLS_KEY")
    return WebSettings(
        host=variables.text("GRAYSCALE_WEB_HOST", default.host),
        port=variables.integer("GRAYSCALE_WEB_PORT", -1, maximum=65535) if has_port else None,
        api_url=_api_url(variables),
        api_ca=variables.file("GRAYSCALE_API_CA"),
        api_name=variables.text("GRAYSCALE_API_NAME", default.api_name),
        max_bytes=variables.integer("GRAYSCALE_WEB_MAX_BYTES", default.max_bytes, minimum=1, maximum=2**40),
        idle_s=variables.seconds("GRAYSCALE_BODY_IDLE_S", default.idle_s),
        drain_delay_s=variables.seconds("GRAYSCALE_DRAIN_DELAY_S", default.drain_delay_s),
        finish_s=variables.seconds("GRAYSCALE_FINISH_S", default.finish_s),
        log_level=variables.word("GRAYSCALE_LOG_LEVEL", default.log_level, LOG_LEVELS),
        access_log=variables.flag("GRAYSCALE_ACCESS_LOG", default.access_log),
        tls_certificate=certificate,
        tls_key=key,
    )


def _api_url(variables: Variables) -> str:
    url = variables.text("GRAYSCALE_API_URL", API_URL).rstrip("/")
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number
        usable = False
    if not usable or parts.path or parts.query or parts.fragment or parts.username is not None:
        raise SettingsError("GRAYSCALE_API_URL cannot be used: it is http://HOST:PORT or https://HOST:PORT")
    return url
