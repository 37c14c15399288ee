"""Addresses of a Redis server."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis as blocking
from redis.exceptions import RedisError

from services.shared.embedded_valkey import NO_VALKEY, valkey_binary
from services.shared.redis_url import RedisAddress, close_redis_client, parse_redis_url, redis_client, without_password
from services.shared.settings import SettingsError
from tests.support.polling import until


@pytest.mark.parametrize(
    "url", ["redis://h:6379/0", "rediss://u:p@h/1", "unix:///run/valkey.sock?db=2", "redis://:p@[::1]:6379/0"]
)
def test_one_server_is_taken_as_it_is(url: str) -> None:
    assert parse_redis_url(url) == RedisAddress(url, tls=url.startswith("rediss"))


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis+sentinel://a:1,b:2/main/3", {"sentinels": (("a", 1), ("b", 2)), "service": "main", "db": 3}),
        ("redis+sentinel://a/main", {"sentinels": (("a", 26379),), "service": "main"}),
        ("redis+sentinel://[::1]:7,b/m/", {"sentinels": (("::1", 7), ("b", 26379)), "service": "m"}),
        ("rediss+sentinel://a/m", {"sentinels": (("a", 26379),), "service": "m", "tls": True}),
        (
            "redis+sentinel://us%40er:p%3Aw@a/m?sentinel_password=x%2Fy",
            {
                "sentinels": (("a", 26379),),
                "service": "m",
                "username": "us@er",
                "password": "p:w",
                "sentinel_password": "x/y",
            },
        ),
        ("redis+sentinel://:p@a/m", {"sentinels": (("a", 26379),), "service": "m", "password": "p"}),
    ],
)
def test_sentinels_name_a_service(url: str, expected: dict[str, object]) -> None:
    assert parse_redis_url(url) == RedisAddress(url, **expected)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("redis+cluster://u:secret@h", "is the address of a cluster: Celery's transport has no cluster support"),
        ("rediss-cluster://h:1,h:2", "use one server or Sentinel"),
        ("http://u:secret@h", r"'http://\*\*\*@h': use redis://"),
        ("h:6379", "use redis://"),
        ("redis+sentinel://:secret@a", r"'redis\+sentinel://\*\*\*@a': it names no service; use redis://"),
        ("redis+sentinel://a/m/x", "'x' is no database number"),
        ("redis+sentinel://a:b/m", "'a:b' is no HOST:PORT"),
        ("redis+sentinel://a:70000/m", "'a:70000' is no HOST:PORT"),
        ("redis+sentinel://a,/m", "'' is no HOST:PORT"),
        ("redis+sentinel://a/m?password=secret", "'password' is no option of it"),
        ("redis+sentinel://a/m?secret", "bad query field"),
    ],
)
def test_what_cannot_be_used_says_why_and_shows_no_password(url: str, reason: str) -> None:
    with pytest.raises(SettingsError, match=reason) as caught:
        parse_redis_url(url, variable="GRAYSCALE_X")
    assert str(caught.value).startswith("GRAYSCALE_X is ")
    assert "=secret" not in str(caught.value)
    assert ":secret" not in str(caught.value)


def test_an_address_shows_no_password() -> None:
    assert "secret" not in repr(parse_redis_url("redis+sentinel://:secret@a/m?sentinel_password=secret"))
    assert without_password("unix:///s?db=0&password=secret&x=1") == "unix:///s?db=0&password=***&x=1"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def _server(home: Path, port: int, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    binary = valkey_binary()
    if binary is None:
        pytest.skip(NO_VALKEY)
    home.mkdir()
    config = home / "server.conf"
    config.write_text("\n".join((f"port {port}", "bind 127.0.0.1", f"dir {home}", 'save ""', *options)) + "\n")
    mode = ["--sentinel"] if any(option.startswith("sentinel ") for option in options) else []
    with (home / "log").open("ab") as log:
        process = subprocess.Popen([binary, config, *mode], stdout=log, stderr=subprocess.STDOUT)
    try:
        end = time.monotonic() + 20
        while not _answers(port):
            assert process.poll() is None, (home / "log").read_text()[-2000:]
            assert time.monotonic() < end, "no answer"
            time.sleep(0.01)
        yield process
    finally:
        process.kill()
        process.wait(10)


def _answers(port: int) -> bool:
    with contextlib.suppress(RedisError), blocking.Redis(port=port, socket_timeout=1) as plain:
        return bool(plain.ping())
    return False


def _replicates(port: int, sentinel: int) -> bool:
    with blocking.Redis(port=port) as master, blocking.Redis(port=sentinel) as asked:
        known = asked.execute_command("SENTINEL", "REPLICAS", "main")
        replica = master.info("replication").get("slave0")
        return bool(replica) and replica["state"] == "online" and len(known) == 1


async def test_a_client_follows_the_sentinels_to_the_new_master(tmp_path: Path) -> None:
    first, second, sentinel = _free_port(), _free_port(), _free_port()
    watch = (
        f"sentinel monitor main 127.0.0.1 {first} 1",
        "sentinel down-after-milliseconds main 300",
        "sentinel failover-timeout main 2000",
    )
    with (
        _server(tmp_path / "first", first) as master,
        _server(tmp_path / "second", second, f"replicaof 127.0.0.1 {first}", "repl-diskless-sync-delay 0"),
        _server(tmp_path / "sentinel", sentinel, *watch),
    ):
        address = parse_redis_url(f"redis+sentinel://127.0.0.1:{sentinel}/main/0")
        client = redis_client(address, timeout_s=2.0)
        await until(lambda: _replicates(first, sentinel))
        await client.set("kept", "yes")
        assert await client.wait(1, 1500) == 1
        master.send_signal(signal.SIGKILL)
        master.wait(10)
        await until(lambda: not _is_replica(second))
        while True:  # until the client has asked the sentinels again, bounded by the test's own timeout
            with contextlib.suppress(RedisError):
                assert await client.get("kept") == b"yes"
                await client.set("more", "yes")
                break
        await close_redis_client(client)


def _is_replica(port: int) -> bool:
    with blocking.Redis(port=port) as plain:
        return bool(plain.info("replication")["role"] == "slave")
