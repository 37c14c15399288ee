"""What can be set about tracing; the same for every service."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from services.shared.settings import SettingsError, Variables

DEFAULT_SHARE = 0.01
_STANDARD = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


@dataclass(frozen=True, slots=True)
class TracingSettings:
    """`endpoint` is the collector's address for traces (OTLP over HTTP, protobuf); None: tracing is off. `share` of the
    requests that come without a trace begin one; one that is sampled already is always gone on with."""

    endpoint: str | None = None
    share: float = DEFAULT_SHARE


def tracing_settings(values: Mapping[str, str]) -> TracingSettings:
    """From `GRAYSCALE_OTLP_ENDPOINT` (a base address, as the standard's own variables have it) and
    `GRAYSCALE_TRACE_SAMPLE`; raises SettingsError."""
    variables = Variables(values)
    own = variables.text("GRAYSCALE_OTLP_ENDPOINT", "")
    base, whole = (values.get(name, "") for name in _STANDARD)
    if own:
        endpoint = _traces_of(_checked("GRAYSCALE_OTLP_ENDPOINT", own))
    elif whole:
        endpoint = _checked(_STANDARD[1], whole)
    elif base:
        endpoint = _traces_of(_checked(_STANDARD[0], base))
    else:
        endpoint = ""
    is_off = values.get("OTEL_SDK_DISABLED", "").lower() == "true"
    return TracingSettings(None if is_off or not endpoint else endpoint, _share(values))


def _checked(name: str, url: str) -> str:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise SettingsError(f"{name} is {url!r}: use the address of a collector, such as http://localhost:4318")
    return url


def _traces_of(base: str) -> str:
    return f"{base.rstrip('/')}/v1/traces"


def _share(values: Mapping[str, str]) -> float:
    name = "GRAYSCALE_TRACE_SAMPLE"
    value = values.get(name)
    if not value:
        return DEFAULT_SHARE
    try:
        share = float(value)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise SettingsError(f"{name} is {value!r}: use a share from 0 to 1, such as 0.01")
    return share
