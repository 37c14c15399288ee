"""Addresses of a Redis server: what is accepted, and the client that each one makes.

    redis://[user:password@]host:port/db      rediss:// with TLS      unix:///path?db=0
    redis+sentinel://[user:password@]host:port,host:port/service/db   rediss+sentinel:// with TLS

Sentinels are asked which server is the master, again after every lost connection; their own password, where they have
one, is `?sentinel_password=`. A cluster is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote, urlsplit

from services.shared.settings import SettingsError

if TYPE_CHECKING:
    from redis.asyncio import Redis

_SENTINEL_PORT = 26379
_ONE_SERVER = ("redis", "rediss", "unix")
_SENTINELS = {"redis+sentinel": False, "rediss+sentinel": True}
_CLUSTER = re.compile(r"(?:rediss?[+-]cluster|rediss?-cluster|cluster)")
ACCEPTED = "use redis://HOST:PORT/0, rediss://…, unix:///PATH or redis+sentinel://HOST:PORT,HOST:PORT/SERVICE/0"


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """Where a server is. `sentinels` is empty for one server, which is at `url`; `service` is the sentinels' name for
    their master."""

    url: str = field(repr=False)
    sentinels: tuple[tuple[str, int], ...] = ()
    service: str = ""
    db: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    sentinel_password: str | None = field(default=None, repr=False)
    tls: bool = False


def parse_redis_url(url: str, *, variable: str = "GRAYSCALE_REDIS_URL") -> RedisAddress:
    """Raises SettingsError naming the variable and what is accepted; a password is never part of its message."""
    scheme = url.partition(":")[0].lower()
    if _CLUSTER.fullmatch(scheme):
        raise SettingsError(
            f"{variable} is the address of a cluster: Celery's transport has no cluster support, and a job's keys "
            "would lie on several nodes; use one server or Sentinel"
        )
    if scheme in _ONE_SERVER:
        return RedisAddress(url, tls=scheme == "rediss")
    if scheme not in _SENTINELS:
        raise SettingsError(f"{variable} is {without_password(url)!r}: {ACCEPTED}")
    try:
        return _sentinel_address(url, tls=_SENTINELS[scheme])
    except ValueError as error:
        raise SettingsError(f"{variable} is {without_password(url)!r}: {error}; {ACCEPTED}") from None


def redis_client(address: RedisAddress, *, timeout_s: float) -> Redis:
    """A client that answers or raises within about twice `timeout_s`: an idle connection that a restarted server has
    closed is opened again, once."""
    # A process that only checks its settings does without the client's modules.
    import redis.asyncio as redis
    from redis.asyncio.retry import Retry
    from redis.asyncio.sentinel import Sentinel
    from redis.backoff import NoBackoff

    retry = Retry(NoBackoff(), 1)
    if not address.sentinels:
        return redis.Redis.from_url(
            address.url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s, retry=retry
        )
    options = {"socket_timeout": timeout_s, "socket_connect_timeout": timeout_s, "ssl": address.tls}
    sentinel = Sentinel(  # type: ignore[no-untyped-call]
        address.sentinels,
        sentinel_kwargs={**options, "password": address.sentinel_password},
        db=address.db,
        username=address.username,
        password=address.password,
        retry=retry,
        **options,
    )
    client: Redis = sentinel.master_for(address.service)
    return client


async def close_redis_client(client: Redis) -> None:
    """Closes a client with its connections, those to sentinels, too."""
    await client.aclose()
    manager = getattr(client.connection_pool, "sentinel_manager", None)
    for sentinel in manager.sentinels if manager else ():
        await sentinel.aclose()


def without_password(url: str) -> str:
    """The URL as it may be shown."""
    shown = re.sub(r"(?<=//)[^/@]*@", "***@", url)
    return re.sub(r"(password=)[^&]*", r"\1***", shown)


def _sentinel_address(url: str, *, tls: bool) -> RedisAddress:
    """Raises ValueError saying what is wrong."""
    parts = urlsplit(url)
    credentials, _, hosts = parts.netloc.rpartition("@")
    username, _, password = credentials.partition(":")
    service, _, db = parts.path.strip("/").partition("/")
    if not service:
        raise ValueError("it names no service")
    if db and not db.isdecimal():
        raise ValueError(f"{db!r} is no database number")
    options = parse_qs(parts.query, strict_parsing=bool(parts.query))
    unknown = sorted(options.keys() - {"sentinel_password"})
    if unknown:
        raise ValueError(f"{unknown[0]!r} is no option of it")
    return RedisAddress(
        url,
        sentinels=tuple(_host(text) for text in hosts.split(",")),
        service=unquote(service),
        db=int(db or 0),
        username=unquote(username) or None,
        password=unquote(password) or None,
        sentinel_password=options.get("sentinel_password", [None])[0],
        tls=tls,
    )


def _host(text: str) -> tuple[str, int]:
    """`host`, `host:port` or `[v6]:port`; raises ValueError."""
    found = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]]+)(?::(\d{1,5}))?", text)
    if not found or int(found[2] or 1) > 65_535:
        raise ValueError(f"{text!r} is no HOST:PORT")
    return found[1].strip("[]"), int(found[2] or _SENTINEL_PORT)
