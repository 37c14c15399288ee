"""A Redis address as Celery's transport (kombu) wants it. Pure.

kombu's spellings: docs.celeryq.dev, "Using Redis": `redis+socket:///path?virtual_host=0` for a Unix socket,
`sentinel://host:port;sentinel://host:port` with the option `master_name`, whose credentials are those of the first URL.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from services.shared.redis_url import RedisAddress

# kombu gives a message that nobody acknowledged to another worker after this; a wake-up takes milliseconds, and one
# that is given twice is harmless.
VISIBILITY_S = 300
_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Broker:
    """What Celery is configured with; `tls` are the options of a TLS connection, None without one."""

    url: str = field(repr=False)
    options: Mapping[str, object]
    tls: Mapping[str, object] | None = None


def broker_of(address: RedisAddress) -> Broker:
    """The same server, database and credentials as the job store's."""
    options: dict[str, object] = {
        "visibility_timeout": VISIBILITY_S,
        "socket_connect_timeout": _TIMEOUT_S,
        "socket_timeout": _TIMEOUT_S,
        "queue_order_strategy": "priority",
        "global_keyprefix": "grayscale:wake:",
    }
    tls = {"ssl_cert_reqs": ssl.CERT_REQUIRED} if address.tls else None
    if not address.sentinels:
        return Broker(_one_server(address.url), options, tls)
    options["master_name"] = address.service
    # What is given here is all that connections to the sentinels themselves have.
    options["sentinel_kwargs"] = {
        "socket_connect_timeout": _TIMEOUT_S,
        "socket_timeout": _TIMEOUT_S,
        "ssl": address.tls,
        "password": address.sentinel_password,
    }
    return Broker(";".join(_sentinel(address, host, port) for host, port in address.sentinels), options, tls)


def _one_server(url: str) -> str:
    if not url.startswith("unix:"):
        return url
    parts = urlsplit(url)
    asked = dict(parse_qsl(parts.query))
    username = unquote(parts.username or "") or asked.get("username", "")
    password = unquote(parts.password or "") or asked.get("password", "")
    return f"redis+socket://{_credentials(username, password)}{parts.path}?virtual_host={asked.get('db', '0')}"


def _sentinel(address: RedisAddress, host: str, port: int) -> str:
    place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return f"sentinel://{_credentials(address.username or '', address.password or '')}{place}/{address.db}"


def _credentials(username: str, password: str) -> str:
    return f"{quote(username, safe='')}:{quote(password, safe='')}@" if username or password else ""
