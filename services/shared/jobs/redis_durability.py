"""Knowing that what a Redis server has acknowledged is on its disk.

`WAITAOF` is the command for it, and cannot be trusted everywhere. With `appendfsync everysec`, Valkey (9.1.2 measured
with strace) and Redis from 7.2.2 to before 8.0 answer it within 100 ms although the fsync comes up to a second later;
the cause and the fix in Redis are in pull request 13793 of redis/redis. So there the server's own rule is waited out:
it starts an fsync a second after the one before, and `INFO persistence` says when none is under way.
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Mapping
from typing import TYPE_CHECKING

from services.shared.errors import Unavailable

if TYPE_CHECKING:
    from redis.asyncio import Redis

_FENCE = "grayscale:jobs:fence"
_FSYNC_PERIOD_S = 1.1  # a second by the server's rule, and its timer looks ten times a second
_POLL_S = 0.05


class Proof(enum.Enum):
    """What shows that a write is on disk: every answer does, WAITAOF does, or waiting out the fsync's period."""

    ANSWER = "answer"
    WAITAOF = "waitaof"
    PERIOD = "period"


def proof_of(config: Mapping[str | None, str | None], info: Mapping[str, object]) -> Proof:
    """By the server's CONFIG and INFO; raises Unavailable saying what to set when nothing shows it.

    appendonly no, or appendfsync no                  refused
    appendfsync always                                ANSWER    the fsync is done before the answer is sent
    everysec, and no fsync while a rewrite runs       refused
    everysec, Redis from 8.0                          WAITAOF
    everysec, anything else                           PERIOD
    """
    if config.get("appendonly") != "yes":
        raise Unavailable("the job store keeps nothing on disk: set `appendonly yes` on its server")
    match config.get("appendfsync"):
        case "always":
            return Proof.ANSWER
        case "everysec":
            if config.get("no-appendfsync-on-rewrite") == "yes":
                raise Unavailable("the job store's server must have `no-appendfsync-on-rewrite no`")
            # Valkey names a Redis version too, for old clients.
            is_redis = "valkey_version" not in info and info.get("server_name", "redis") == "redis"
            major = int(str(info.get("redis_version", "0")).partition(".")[0])
            return Proof.WAITAOF if is_redis and major >= 8 else Proof.PERIOD
        case other:
            raise Unavailable(f"the job store's server has `appendfsync {other}`: set `everysec` or `always`")


async def on_disk(client: Redis, *, replicas: int, timeout_s: float) -> None:
    """Returns when all that the server has acknowledged so far is on its disk (and on that of so many replicas).

    Raises Unavailable after `timeout_s`, or at once where it can never be known.
    """
    try:
        async with asyncio.timeout(timeout_s):
            config = await client.config_get("appendonly", "appendfsync", "no-appendfsync-on-rewrite")
            proof = proof_of(config, await client.info("server"))
            if proof is Proof.WAITAOF or replicas:
                await _wait_aof(client, replicas, timeout_s)
            if proof is Proof.PERIOD:
                await _fsync_free(client)
                # Whatever was written before is in the file now, and the next fsync takes it along.
                await asyncio.sleep(_FSYNC_PERIOD_S)
                await client.ping()  # one whole turn of a server that was held up: it starts an fsync that is due
                await _fsync_free(client)
    except TimeoutError as error:
        raise Unavailable(f"the job store's server has not said within {timeout_s:g} s that it is on disk") from error


async def _wait_aof(client: Redis, replicas: int, timeout_s: float) -> None:
    async with client.pipeline(transaction=False) as pipe:
        pipe.incr(_FENCE)  # the command waits for the writes of its own connection only, and so for those before
        pipe.execute_command("WAITAOF", 1, replicas, int(timeout_s * 1000))
        _, (local, others) = await pipe.execute()
    if local < 1 or others < replicas:
        raise Unavailable(f"the job is on the disk of {local} server and {others} replicas, asked for are {replicas}")


async def _fsync_free(client: Redis) -> None:
    """Returns when no fsync is under way: a server in that state writes what it has to the file before it answers."""
    while True:
        info = await client.info("persistence")
        if info.get("aof_last_write_status") != "ok":
            raise Unavailable("the job store's server cannot write its file: is its disk full?")
        if not info.get("aof_pending_bio_fsync"):
            return
        await asyncio.sleep(_POLL_S)
