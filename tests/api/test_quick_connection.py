"""Quick answers among others: on one connection, with keys, while draining, in the metrics and in the log."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from services.shared.keys.base import Scope
from services.shared.keys.file import FileKeyStore
from services.shared.keys.issue import IssuedKey, NewKey, issue
from tests.support.hostile_http import PREDICT, Answer, request
from tests.support.polling import until
from tests.support.quick_answers import PNG, both, comparable, digits_api, exchanged, noted_lines, png_post
from tests.support.quick_api import QuickApi

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def api(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[QuickApi]:
    async with digits_api(tmp_path_factory.mktemp("quick")) as api:
        yield api


@pytest_asyncio.fixture(loop_scope="module")
async def keys(api: QuickApi) -> AsyncIterator[FileKeyStore]:
    """The API's keys, all gone again after the test."""
    yield FileKeyStore(api.data_dir)
    (api.data_dir / "keys.json").unlink()


async def made(keys: FileKeyStore, **wanted: Any) -> IssuedKey:
    issued = issue(NewKey("a", frozenset({wanted.pop("scope", Scope.PREDICT)}), **wanted), now=time.time())
    await keys.add(issued.key)
    return issued


async def test_pipelined_requests_are_answered_in_their_order(api: QuickApi) -> None:
    sent = [
        png_post("X-Request-Id: r0"),
        png_post("X-Request-Id: r1", target=PREDICT + "?top_k=1"),
        request("/healthz/live", "X-Request-Id: r2", close=False),
        png_post("X-Request-Id: r3"),
        png_post("X-Request-Id: r4", body=b"nothing"),
        png_post("X-Request-Id: r5", "Connection: close"),
    ]
    before = api.spied.taken
    client = await api.connect_quick()
    await client.send(b"".join(sent))
    answers = await client.all()
    assert [answer.headers["x-request-id"] for answer in answers] == [f"r{n}" for n in range(6)]
    assert [answer.status for answer in answers] == [200, 200, 200, 200, 422, 200]
    assert api.spied.taken == before  # many in one piece are for the parser


async def test_requests_one_after_the_other_are_all_quick(api: QuickApi) -> None:
    before = api.spied.answered
    client = await api.connect_quick()
    for _ in range(20):
        assert (await exchanged(client, png_post())).status == 200
    assert api.spied.answered == before + 20


async def test_a_body_that_comes_soon_after_its_headers_is_no_hindrance(api: QuickApi) -> None:
    sent, before = png_post(), api.spied.answered
    client = await api.connect_quick()
    head = sent.index(b"\r\n\r\n") + 4
    for end in (head, head + 1, len(sent) - 1):
        client.writer.write(sent[:end])
        await asyncio.sleep(0)
        client.writer.write(sent[end:])
        assert (await client.one()).status == 200
    assert api.spied.answered == before + 3


async def test_a_body_that_takes_its_time_is_the_applications(api: QuickApi) -> None:
    sent, before = png_post(), api.spied.taken
    client = await api.connect_quick()
    await client.send(sent[:-5])
    await until(lambda: api.bounds.admission.requests == 1)  # the application waits for the rest
    await client.send(sent[-5:])
    whole = await exchanged(await api.connect_plain(), sent)
    assert comparable(await client.one()) == comparable(whole)
    assert api.spied.taken == before
    assert (await exchanged(client, sent)).status == 200
    assert api.spied.taken == before + 1


async def test_headers_that_come_in_two_parts_are_no_hindrance(api: QuickApi) -> None:
    sent = png_post()
    client = await api.connect_quick()
    await client.send(sent[:30])
    await asyncio.sleep(0.01)
    await client.send(sent[30:])
    assert (await client.one()).status == 200


async def test_who_waits_for_leave_to_send_the_body_gets_it(api: QuickApi) -> None:
    head, _, body = png_post("Expect: 100-continue", "Connection: close").partition(b"\r\n\r\n")
    before = api.spied.taken
    for sent in ([head + b"\r\n\r\n", body], [head + b"\r\n\r\n" + body]):
        client = await api.connect_quick()
        for part in sent:
            await client.send(part)
        [answer] = await client.all()
        assert answer.status == 200
    assert api.spied.taken == before


async def test_a_broken_request_behind_a_quick_one_is_refused_after_its_answer(api: QuickApi) -> None:
    client = await api.connect_quick()
    await client.send(png_post() + b"nonsense\r\n\r\n")
    assert [answer.status for answer in await client.all()] == [200, 400]
    client = await api.connect_quick()
    assert (await exchanged(client, png_post())).status == 200
    await client.send(b"nonsense\r\n\r\n")
    assert [answer.status for answer in await client.all()] == [400]


async def test_while_draining_answers_ask_for_the_end(api: QuickApi) -> None:
    before, client = api.spied.taken, await api.connect_quick()
    assert "connection" not in (await exchanged(client, png_post())).headers
    api.draining = True
    try:
        await client.send(png_post())
        [last] = await client.all()
    finally:
        api.draining = False
    assert (last.status, last.headers["connection"]) == (200, "close")
    assert api.spied.taken == before + 1


@pytest.mark.parametrize("header", ["Authorization: Bearer {}", "X-API-Key: {}"])
async def test_a_key_without_bounds_is_quick(api: QuickApi, keys: FileKeyStore, header: str) -> None:
    issued = await made(keys)
    answer, quick = await both(api, png_post(header.format(issued.secret)))
    assert (answer.status, quick) == (200, 1)


async def test_keys_that_may_not_are_refused_by_the_application(api: QuickApi, keys: FileKeyStore) -> None:
    jobs, revoked = await made(keys, scope=Scope.JOBS), await made(keys)
    assert (await both(api, png_post(f"X-API-Key: {revoked.secret}")))[1] == 1
    await keys.revoke(revoked.key.key_id, at=time.time())
    assert [
        ((await both(api, png_post(*header)))[0].status, (await both(api, png_post(*header)))[1])
        for header in ([], [f"X-API-Key: {jobs.secret}"], [f"X-API-Key: {revoked.secret}"])
    ] == [(401, 0), (403, 0), (401, 0)]


@pytest.mark.parametrize("bound", [{"rate_per_s": 0.001, "burst": 3}, {"daily_quota": 3}])
async def test_a_key_with_bounds_is_counted_once_for_each_request(
    api: QuickApi, keys: FileKeyStore, bound: dict[str, Any]
) -> None:
    issued, before = await made(keys, **bound), api.spied.taken
    client = await api.connect_quick()
    statuses = [(await exchanged(client, png_post(f"X-API-Key: {issued.secret}"))).status for _ in range(5)]
    assert statuses == [200, 200, 200, 429, 429]
    assert api.spied.taken == before


def counted(api: QuickApi) -> dict[str, int]:
    """What the metrics count of requests and of runs."""
    digits, route = api.metrics("digits"), "/v1/models/{model}/predict"
    return {
        "http": api.requests.counts()[route, 200, "digits"],
        "durations": api.requests.durations()[route, "digits"].count,
        "decodes": api.requests.decodes()["digits"].count,
        "successes": digits.successes,
        "runs": digits.execution_count,
        **{stage: snapshot.count for stage, snapshot in digits.durations.items()},
    }


async def test_a_quick_request_is_counted_as_an_ordinary_one(api: QuickApi) -> None:
    grown = []
    for connect in (api.connect_quick, api.connect_plain):
        before = counted(api)
        assert (await exchanged(await connect(), png_post())).status == 200
        await api.idle()
        grown.append({name: count - before[name] for name, count in counted(api).items()})
    assert grown[0] == grown[1]
    assert set(grown[0].values()) == {1}


async def test_a_quick_request_is_logged_as_an_ordinary_one(
    api: QuickApi, keys: FileKeyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    issued, lines = await made(keys), noted_lines(monkeypatch)
    answers: list[Answer] = []
    for connect in (api.connect_quick, api.connect_plain):
        answers.append(await exchanged(await connect(), png_post(f"X-API-Key: {issued.secret}")))
        await api.idle()
    quick, plain = lines
    assert quick["request_id"] == answers[0].document["request_id"] == answers[0].headers["x-request-id"]
    assert quick["key_id"] == issued.key.key_id
    for varying in ("request_id", "ms", "decode_ms", "queue_ms", "infer_ms"):
        assert type(quick.pop(varying)) is type(plain.pop(varying))
    assert quick == plain
    assert list(quick) == list(plain)


async def test_a_request_that_is_given_back_is_counted_and_logged_once(
    api: QuickApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = noted_lines(monkeypatch)
    before = sum(api.requests.counts().values())
    assert (await exchanged(await api.connect_quick(), png_post(body=PNG[:40]))).status == 422
    await api.idle()
    assert sum(api.requests.counts().values()) == before + 1
    assert [line["status"] for line in lines] == [422]
