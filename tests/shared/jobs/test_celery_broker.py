"""One address, two readers: what the job store reaches, Celery must reach, too."""

from __future__ import annotations

import ssl

import pytest
from kombu.connection import Connection

from services.shared.jobs.celery_broker import VISIBILITY_S, broker_of
from services.shared.redis_url import parse_redis_url


@pytest.mark.parametrize(
    ("url", "broker"),
    [
        ("redis://localhost:6379/3", "redis://localhost:6379/3"),
        ("rediss://ann:p%40ss@host:6380/0", "rediss://ann:p%40ss@host:6380/0"),
        ("unix:///run/valkey.sock", "redis+socket:///run/valkey.sock?virtual_host=0"),
        ("unix:///a%20b/v.sock?db=2", "redis+socket:///a%20b/v.sock?virtual_host=2"),
        ("unix://ann:p%2Fw@/run/v.sock", "redis+socket://ann:p%2Fw@/run/v.sock?virtual_host=0"),
        ("unix:///run/v.sock?username=ann&password=p%2Fw", "redis+socket://ann:p%2Fw@/run/v.sock?virtual_host=0"),
        ("redis+sentinel://one/mymaster", "sentinel://one:26379/0"),
        (
            "redis+sentinel://:pw@one:1,[::1]:2/mymaster/4",
            "sentinel://:pw@one:1/4;sentinel://:pw@[::1]:2/4",
        ),
    ],
)
def test_every_kind_of_address_in_the_words_of_celerys_transport(url: str, broker: str) -> None:
    assert broker_of(parse_redis_url(url)).url == broker


def test_a_sentinels_master_and_its_own_password_are_options() -> None:
    found = broker_of(parse_redis_url("rediss+sentinel://ann:pw@one:1/mymaster?sentinel_password=sp"))
    assert found.options["master_name"] == "mymaster"
    sentinels = found.options["sentinel_kwargs"]
    assert isinstance(sentinels, dict)
    assert (sentinels["password"], sentinels["ssl"]) == ("sp", True)
    assert found.tls == {"ssl_cert_reqs": ssl.CERT_REQUIRED}
    assert "pw" not in repr(found)


def test_a_wake_up_that_a_dead_worker_took_comes_again() -> None:
    found = broker_of(parse_redis_url("redis://localhost:6379/0"))
    assert found.options["visibility_timeout"] == VISIBILITY_S
    assert found.tls is None


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("unix://ann:p%2Fw@/a%20b/v.sock?db=2", {"path": "/a b/v.sock", "username": "ann", "password": "p/w", "db": 2}),
        ("redis://ann:p%40w@host:7/5", {"host": "host", "port": 7, "username": "ann", "password": "p@w", "db": 5}),
    ],
)
def test_kombu_reads_them_as_they_were_meant(url: str, expected: dict[str, object]) -> None:
    found = broker_of(parse_redis_url(url))
    with Connection(found.url, transport_options=dict(found.options)) as connection:  # type: ignore[no-untyped-call]
        channel_class = connection.transport.Channel
        channel = channel_class.__new__(channel_class)
        channel.connection = connection.transport
        parameters = channel._connparams()
    assert {name: parameters.get(name) for name in expected} == expected
