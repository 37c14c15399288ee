"""Wake-ups through sentinels: Celery asks them where the master is, as the job store does."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from services.shared.embedded_valkey import NO_VALKEY, valkey_binary
from services.shared.jobs.celery import CeleryJobQueue
from services.shared.priority import Priority
from services.worker.wake_listener import WakeListener
from tests.support.polling import until
from tests.support.stack import free_ports

PASSWORD, SENTINEL_PASSWORD = "p/w @1", "s:2"


@contextlib.contextmanager
def running(command: list[str], port: int, password: str) -> Iterator[None]:
    """A server that answers."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 20
        while True:
            with contextlib.suppress(redis.RedisError), redis.Redis(port=port, password=password) as client:
                client.ping()
                break
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.01)
        yield
    finally:
        process.kill()
        process.wait(10)


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """Of a sentinel and its master, each with a password of its own."""
    binary = valkey_binary()
    if binary is None:
        if os.environ.get("CI"):
            pytest.fail(NO_VALKEY)
        pytest.skip(NO_VALKEY)
    master, sentinel = free_ports(2)
    config = tmp_path / "sentinel.conf"
    config.write_text(
        f"port {sentinel}\nbind 127.0.0.1\ndir {tmp_path}\nrequirepass {SENTINEL_PASSWORD}\n"
        f'sentinel monitor main 127.0.0.1 {master} 1\nsentinel auth-pass main "{PASSWORD}"\n'
    )
    server = [str(binary), "--port", str(master), "--bind", "127.0.0.1", "--requirepass", PASSWORD, "--save", ""]
    with (
        running([*server, "--dir", str(tmp_path)], master, PASSWORD),
        running([str(binary), str(config), "--sentinel"], sentinel, SENTINEL_PASSWORD),
    ):
        yield f"redis+sentinel://:p%2Fw%20%401@127.0.0.1:{sentinel}/main/2?sentinel_password=s%3A2"


async def test_a_wake_up_finds_the_master_and_a_worker(url: str) -> None:
    rings: list[None] = []
    listener = WakeListener(url, lambda: rings.append(None), name="sentinel@here")
    queue = CeleryJobQueue(url)
    listener.start()
    await queue.wake(Priority.HIGH, 2)
    await until(lambda: len(rings) == 2)
    await asyncio.to_thread(listener.stop, 10.0)
    await queue.close()
