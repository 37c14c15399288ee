"""Webhooks over real sockets: until the receiver has them, signed, under one delivery id, whoever dies."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import orjson
import pytest

from services.shared.clock import ManualClock
from services.shared.errors import Unavailable
from services.shared.jobs.base import WEBHOOK_LEASE_S, JobStore
from services.shared.jobs.job import Job
from services.shared.jobs.memory import MemoryJobStore
from services.shared.jobs.webhook import GIVE_UP_S, Verdict, Webhook, is_genuine
from services.shared.jobs.webhook_sender import WebhookSender
from services.shared.keys.base import KeySet, Scope
from services.shared.keys.issue import IssuedKey, NewKey, issue
from services.shared.keys.memory import MemoryKeyStore
from services.shared.outbound.base import UrlRefused
from services.shared.outbound.client import HttpcoreOutboundClient
from services.shared.outbound.fake import FakeOutboundClient
from services.shared.outbound.settings import OutboundSettings
from tests.support.jobs import make, new_job, work_off
from tests.support.outbound_servers import LOOPBACK, Answer, RecordingServer, ScriptedResolver, plain, serving, silent
from tests.support.polling import BOUND_S, until

HOST = "receiver.example.org"
URL = f"https://{HOST}/done"


@pytest.fixture
def key(clock: ManualClock) -> IssuedKey:
    return issue(NewKey("ann's", frozenset({Scope.JOBS})), now=clock.now())


@asynccontextmanager
async def receiving(answer: Answer) -> AsyncIterator[tuple[RecordingServer, HttpcoreOutboundClient]]:
    async with serving(answer) as server:
        settings = OutboundSettings((f"{HOST}:{server.port}",), allow_http=True, allowed_private_networks=LOOPBACK)
        client = HttpcoreOutboundClient(settings, resolver=ScriptedResolver({HOST: ["127.0.0.1"]}))
        yield server, client
        await client.aclose()


async def ended(store: JobStore, url: str, owner: str = "") -> Job:
    job = await make(store, new_job(owner=owner, callback_url=url))
    await work_off(store)
    return await store.get(job.job_id, owner=None)


async def claimed_webhook(store: JobStore) -> Webhook:
    webhook = await store.claim_webhook()
    assert webhook is not None
    return webhook


def header_of(head: str, name: str) -> str | None:
    found = [line.partition(": ")[2] for line in head.splitlines() if line.lower().startswith(name.lower() + ":")]
    return found[0] if found else None


async def test_a_receiver_that_fails_twice_gets_a_signed_webhook_in_the_end(
    store: JobStore, clock: ManualClock, key: IssuedKey
) -> None:
    answers = [plain(b"", status="500 Broken"), plain(b"", "Location: /", status="302 Found"), plain(b"thanks")]

    async def next_answer(writer: asyncio.StreamWriter) -> None:
        await answers.pop(0)(writer)

    keys = MemoryKeyStore()
    await keys.add(key.key)
    async with receiving(next_answer) as (server, client):
        job = await ended(store, f"http://{HOST}:{server.port}/done?a=1", key.key.key_id)
        sender = WebhookSender(store, client, keys, clock, random.Random(1))
        for expected in (Verdict.RETRY, Verdict.RETRY, Verdict.DELIVERED):
            assert await sender.deliver(await claimed_webhook(store)) is expected
            assert await store.claim_webhook() is None
            clock.advance(40)
        assert len({header_of(head, "X-Grayscale-Delivery") for head in server.requests}) == 1
        assert [head.partition("\r\n")[0] for head in server.requests] == ["POST /done?a=1 HTTP/1.1"] * 3
        signatures = [header_of(head, "X-Grayscale-Signature") or "" for head in server.requests]
        assert len(set(signatures)) == 3, "each attempt is signed with its own time"
        head, body = server.requests[-1], server.bodies[-1]
        assert is_genuine(key.key.webhook_secret, signatures[-1], body, clock.now() - 40)
        assert not is_genuine(key.key.webhook_secret, signatures[-1], body, clock.now() + 300)
        assert header_of(head, "Content-Type") == "application/json"
        assert orjson.loads(body).items() >= {"event": "job.ended", "job_id": job.job_id, "state": "succeeded"}.items()
    totals = (await store.stats()).totals
    assert (totals["webhooks_delivered"], totals["webhooks_failed"], totals["webhooks_given_up"]) == (1, 2, 0)


async def test_a_sender_that_dies_on_the_way_is_followed_by_another_with_the_same_delivery(
    store: JobStore, clock: ManualClock
) -> None:
    answers = [silent(), plain(b"")]

    async def next_answer(writer: asyncio.StreamWriter) -> None:
        await answers.pop(0)(writer)

    async with receiving(next_answer) as (server, client):
        job = await ended(store, f"http://{HOST}:{server.port}/")
        senders = [WebhookSender(store, client, MemoryKeyStore(), clock, random.Random(1), poll_s=0.01)] * 2
        for count, sender in enumerate(senders, 1):
            running = asyncio.create_task(sender.run())
            await until(lambda count=count: len(server.requests) == count)  # type: ignore[misc]
            async with asyncio.timeout(BOUND_S):
                while count == 2 and (await store.stats()).totals["webhooks_delivered"] == 0:
                    await asyncio.sleep(0.01)
            running.cancel()
            await asyncio.wait({running})
            assert running.cancelled()
            clock.advance(WEBHOOK_LEASE_S)
    assert [header_of(head, "X-Grayscale-Delivery") for head in server.requests] == [f"{job.job_id}-1"] * 2
    assert await store.claim_webhook() is None


@pytest.mark.parametrize(
    ("answer", "age_s", "expected"),
    [
        (410, 0.0, Verdict.GIVE_UP),
        (UrlRefused("the host is not on the list"), 0.0, Verdict.GIVE_UP),
        (Unavailable("no place"), 0.0, Verdict.RETRY),
        (KeyError("a defect"), 0.0, Verdict.RETRY),
        (503, GIVE_UP_S - 11, Verdict.RETRY),
        (503, GIVE_UP_S - 1, Verdict.GIVE_UP),
    ],
    ids=["gone", "refused", "no place", "defect", "soon too late", "too late"],
)
async def test_what_is_given_up_is_not_sent_again(
    clock: ManualClock, answer: int | Exception, age_s: float, expected: Verdict
) -> None:
    store = MemoryJobStore(clock, results_s=2 * GIVE_UP_S)
    await ended(store, URL)
    clock.advance(age_s)
    outbound = FakeOutboundClient(statuses={URL: [answer]})  # type: ignore[list-item]
    if isinstance(answer, KeyError):
        outbound.post = broken  # type: ignore[method-assign]
    sender = WebhookSender(store, outbound, MemoryKeyStore(), clock, random.Random(1))
    assert await sender.deliver(await claimed_webhook(store)) is expected
    assert (await store.stats()).totals["webhooks_given_up"] == (expected is Verdict.GIVE_UP)
    clock.advance(10)
    assert (await store.claim_webhook() is None) == (expected is Verdict.GIVE_UP)


async def broken(url: str, **options: object) -> int:
    raise KeyError("a defect")


class AwayKeyStore(MemoryKeyStore):
    async def keys(self) -> KeySet:
        raise Unavailable("the key store cannot be used")


async def test_nothing_is_sent_unsigned_because_the_keys_are_away(clock: ManualClock) -> None:
    store, outbound = MemoryJobStore(clock), FakeOutboundClient(statuses={URL: [200]})
    await ended(store, URL, "ann")
    sender = WebhookSender(store, outbound, AwayKeyStore(), clock, random.Random(1))
    assert await sender.deliver(await claimed_webhook(store)) is Verdict.RETRY
    assert outbound.posted == []


async def test_where_nobody_has_a_key_there_is_no_signature(clock: ManualClock) -> None:
    store, outbound = MemoryJobStore(clock), FakeOutboundClient(statuses={URL: [200]})
    await ended(store, URL)
    sender = WebhookSender(store, outbound, AwayKeyStore(), clock, random.Random(1))
    assert await sender.deliver(await claimed_webhook(store)) is Verdict.DELIVERED
    assert set(outbound.posted[0].headers) == {"Content-Type", "X-Grayscale-Delivery"}


async def test_a_key_that_was_revoked_since_still_signs(clock: ManualClock, key: IssuedKey) -> None:
    store, outbound, keys = MemoryJobStore(clock), FakeOutboundClient(statuses={URL: [200]}), MemoryKeyStore()
    await keys.add(key.key)
    await ended(store, URL, key.key.key_id)
    await keys.revoke(key.key.key_id, at=clock.now())
    await WebhookSender(store, outbound, keys, clock, random.Random(1)).deliver(await claimed_webhook(store))
    (posted,) = outbound.posted
    signature = posted.headers["X-Grayscale-Signature"]
    assert is_genuine(key.key.webhook_secret, signature, posted.content, clock.now())


async def test_a_receiver_that_hangs_holds_up_no_other(clock: ManualClock) -> None:
    store, outbound = MemoryJobStore(clock), FakeOutboundClient(statuses={URL: [200]})
    post = outbound.post

    async def hang_for_some(url: str, *, content: bytes, headers: Mapping[str, str], timeout_s: float) -> int:
        if url != URL:
            await asyncio.Event().wait()
        return await post(url, content=content, headers=headers, timeout_s=timeout_s)

    outbound.post = hang_for_some  # type: ignore[method-assign]
    for _ in range(10):
        await ended(store, f"{URL}/hanging")
    clock.advance(1)
    await ended(store, URL)
    running = asyncio.create_task(
        WebhookSender(store, outbound, MemoryKeyStore(), clock, random.Random(1), poll_s=0.01).run()
    )
    await until(lambda: len(outbound.posted) == 1)
    running.cancel()
    await asyncio.wait({running})
    assert running.cancelled()


async def test_a_sender_goes_on_when_the_job_store_comes_back(
    clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, outbound = MemoryJobStore(clock), FakeOutboundClient(statuses={URL: [200]})
    await ended(store, URL)
    claim, failures = store.claim_webhook, [Unavailable("away")] * 5

    async def failing() -> Webhook | None:
        if failures:
            raise failures.pop()
        return await claim()

    monkeypatch.setattr(store, "claim_webhook", failing)
    running = asyncio.create_task(
        WebhookSender(store, outbound, MemoryKeyStore(), clock, random.Random(1), poll_s=0.001).run()
    )
    await until(lambda: len(outbound.posted) == 1)
    running.cancel()
    await asyncio.wait({running})
