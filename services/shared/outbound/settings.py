"""What the operator says about outbound calls, from variables `GRAYSCALE_…`."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_network

from services.shared.outbound.addresses import IPNetwork
from services.shared.outbound.hosts import AllowList
from services.shared.settings import SettingsError, Variables

MAX_REDIRECTS = 3


@dataclass(frozen=True, slots=True)
class OutboundSettings:
    """`allowed_hosts` empty means off. `max_bytes` and `timeout_s` are ceilings over what a caller asks for.

    `allowed_private_networks`: addresses that are not public and may be reached all the same, by every listed host;
    so list no wildcard host beside them whose names somebody else can set.
    """

    allowed_hosts: tuple[str, ...] = ()
    allow_http: bool = False
    allowed_private_networks: tuple[IPNetwork, ...] = ()
    max_redirects: int = MAX_REDIRECTS
    concurrency: int = 16
    max_bytes: int = 32 * 2**20
    timeout_s: float = 10.0


def outbound_settings(variables: Variables) -> OutboundSettings:
    """Raises SettingsError naming the variable."""
    default = OutboundSettings()
    timeout_s = variables.seconds("GRAYSCALE_URL_TIMEOUT_S", default.timeout_s, maximum=600.0)
    if timeout_s == 0:
        raise SettingsError("GRAYSCALE_URL_TIMEOUT_S is '0': use a number of seconds above 0, up to 600")
    return OutboundSettings(
        allowed_hosts=_hosts(variables),
        allow_http=variables.flag("GRAYSCALE_ALLOW_HTTP_URLS", default.allow_http),
        allowed_private_networks=_networks(variables),
        concurrency=variables.integer("GRAYSCALE_URL_CONCURRENCY", default.concurrency, minimum=1, maximum=1024),
        max_bytes=variables.integer("GRAYSCALE_URL_MAX_BYTES", default.max_bytes, minimum=1),
        timeout_s=timeout_s,
    )


def _entries(variables: Variables, name: str) -> tuple[str, ...]:
    return tuple(text.strip() for text in variables.text(name, "").split(",") if text.strip())


def _hosts(variables: Variables) -> tuple[str, ...]:
    name = "GRAYSCALE_ALLOWED_URL_HOSTS"
    entries = _entries(variables, name)
    try:
        AllowList.parse(entries)
    except ValueError as error:
        raise SettingsError(f"{name}: {error}") from error
    return entries


def _networks(variables: Variables) -> tuple[IPNetwork, ...]:
    name = "GRAYSCALE_ALLOWED_PRIVATE_NETWORKS"
    try:
        return tuple(ip_network(text) for text in _entries(variables, name))
    except ValueError as error:
        raise SettingsError(f"{name}: {error}: use networks such as 10.20.0.0/16, fd12:3456::/48") from error
