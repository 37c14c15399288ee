"""The guard in front of the whole application: answers, counts, the audit log, and no secret anywhere."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from starlette.types import Receive, Send
from starlette.types import Scope as AsgiScope

from services.api.auth import Authenticator
from services.api.context import RequestContext, send_problem
from services.api.key_guard import KeyGuard
from services.api.request_records import RequestRecords
from services.shared.audit import AuditLog
from services.shared.clock import ManualClock
from services.shared.errors import Conflict
from services.shared.keys.base import Scope
from services.shared.keys.file import FileKeyStore
from services.shared.keys.issue import IssuedKey, NewKey, issue
from services.shared.quotas.memory import MemoryQuotaLimiter
from services.shared.telemetry.http_requests import HttpRequests
from services.shared.telemetry.logs import JsonFormatter

PREDICT, PROMOTE, LOAD = "/v1/models/m/predict", "/v1/models/m/default", "/v2/repository/models/m/load"


class Echo:
    """Answers 200 with the caller's key id; `/v1/models/gone/…` is answered with an error, `broken` fails."""

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        if "/gone/" in scope["path"]:
            await send_problem(Conflict("no"), "", send)
            return
        if "/raises/" in scope["path"]:
            raise Conflict("no")
        if "/broken/" in scope["path"]:
            raise RuntimeError("broken")
        caller = scope["state"]["caller"]
        body = (caller.key.key_id if caller.key else "nobody").encode()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})


class Lines(logging.Handler):
    """Every log line as it would be written."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.setFormatter(JsonFormatter("api"))
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@pytest.fixture
def lines() -> Any:
    handler, root = Lines(), logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield handler.lines
    root.removeHandler(handler)
    root.setLevel(before)


@pytest.fixture
def store(tmp_path: Path) -> FileKeyStore:
    return FileKeyStore(tmp_path)


@pytest.fixture
async def http(store: FileKeyStore, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    guard = KeyGuard(
        Echo(),
        Authenticator(store),
        limiter=MemoryQuotaLimiter(),
        audit=AuditLog(tmp_path),
        clock=ManualClock(1_700_000_000.0),
    )
    transport = httpx.ASGITransport(
        RequestContext(guard, RequestRecords(HttpRequests())), raise_app_exceptions=False, client=("10.1.2.3", 5)
    )
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
        yield client


async def key(store: FileKeyStore, *scopes: Scope, **limits: Any) -> IssuedKey:
    issued = issue(NewKey("ops team", frozenset(scopes), **limits), now=0.0)
    await store.add(issued.key)
    return issued


def sent(issued: IssuedKey) -> dict[str, str]:
    return {"Authorization": f"Bearer {issued.secret}"}


def audit_of(tmp_path: Path) -> list[dict[str, Any]]:
    path = tmp_path / "audit.jsonl"
    return [orjson.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []


def texts_in(directory: Path) -> list[str]:
    return [path.read_text() for path in directory.iterdir() if path.is_file()]


async def test_a_call_with_a_key_reaches_the_application_with_its_caller(
    http: httpx.AsyncClient, store: FileKeyStore
) -> None:
    assert (await http.post(PREDICT)).text == "nobody"
    issued = await key(store, Scope.PREDICT)
    assert (await http.post(PREDICT, headers=sent(issued))).text == issued.key.key_id


async def test_refusals_are_problems_and_in_the_protocol_its_errors(
    http: httpx.AsyncClient, store: FileKeyStore
) -> None:
    issued = await key(store, Scope.PREDICT)
    nobody, lesser = await http.put(PROMOTE), await http.put(PROMOTE, headers=sent(issued))
    assert (nobody.status_code, nobody.headers["www-authenticate"]) == (401, "Bearer")
    assert nobody.headers["content-type"] == lesser.headers["content-type"] == "application/problem+json"
    assert (lesser.status_code, lesser.json()["title"]) == (403, "The key does not allow this")
    nobody, lesser = await http.post(LOAD), await http.post(LOAD, headers=sent(issued))
    assert (nobody.status_code, nobody.headers["www-authenticate"]) == (401, "Bearer")
    assert lesser.status_code == 403
    assert "needs the scope admin" in lesser.json()["error"]


async def test_a_key_over_its_limit_is_told_when_to_come_back(http: httpx.AsyncClient, store: FileKeyStore) -> None:
    limited = await key(store, Scope.PREDICT, Scope.JOBS, daily_quota=2)
    assert [(await http.post(PREDICT, headers=sent(limited))).status_code for _ in range(3)] == [200, 200, 429]
    for path in (PREDICT, "/v2/models/m/infer", "/v1/models/m/jobs"):
        refused = await http.post(path, headers=sent(limited))
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) >= 1
    assert (await http.get("/v1/jobs/j", headers=sent(limited))).status_code == 200  # asking after a job is free


async def test_every_administrators_call_is_in_the_audit_log_with_its_status(
    http: httpx.AsyncClient, store: FileKeyStore, tmp_path: Path
) -> None:
    admin = await key(store, Scope.ADMIN)
    for path in (PROMOTE, "/v1/models/gone/default", "/v1/models/raises/default", "/v1/models/broken/default"):
        await http.put(path + "?token=1", headers={**sent(admin), "X-Request-Id": "abc"})
    await http.post(LOAD, headers=sent(admin))
    await http.post(PREDICT, headers=sent(admin))  # not an administrator's call
    found = audit_of(tmp_path)
    assert [(e["method"], e["path"], e["status"]) for e in found] == [
        ("PUT", PROMOTE, 200),
        ("PUT", "/v1/models/gone/default", 409),
        ("PUT", "/v1/models/raises/default", 409),
        ("PUT", "/v1/models/broken/default", 500),
        ("POST", LOAD, 200),
    ]
    first = {"at": 1_700_000_000.0, "request_id": "abc", "key_id": admin.key.key_id, "key_name": "ops team"}
    assert found[0] == {**first, "method": "PUT", "path": PROMOTE, "status": 200, "remote": "10.1.2.3"}


async def test_refused_callers_are_logged_and_cannot_fill_the_audit_log(
    http: httpx.AsyncClient, store: FileKeyStore, tmp_path: Path, lines: list[str]
) -> None:
    lesser = await key(store, Scope.PREDICT)
    await http.put(PROMOTE)
    await http.put(PROMOTE, headers=sent(lesser))
    assert audit_of(tmp_path) == []
    refused = [orjson.loads(line) for line in lines if "refused" in line]
    assert [(r["path"], r["remote"]) for r in refused] == [(PROMOTE, "10.1.2.3")] * 2


async def test_no_secret_is_in_a_log_line_the_store_the_audit_log_or_an_answer(
    http: httpx.AsyncClient, store: FileKeyStore, tmp_path: Path, lines: list[str]
) -> None:
    issued = [await key(store, scope) for scope in (Scope.ADMIN, Scope.PREDICT, Scope.PREDICT)]
    unknown = issue(NewKey("x", frozenset({Scope.ADMIN})), now=0.0)
    await store.revoke(issued[2].key.key_id, at=1.0)
    answers = []
    for each in (*issued, unknown):
        for headers in (sent(each), {"X-API-Key": each.secret}, {"Authorization": each.secret}):
            for method, path in (
                ("POST", PREDICT),
                ("PUT", PROMOTE),
                ("POST", LOAD),
                ("PUT", "/v1/models/broken/default"),
                ("PUT", f"/v1/models/{each.secret}/default"),
            ):
                answers.append((await http.request(method, path, headers=headers)).text)
    files = texts_in(tmp_path)
    assert len(audit_of(tmp_path)) > 3
    assert len(lines) > 50
    for each in (*issued, unknown):
        random = each.secret[16:]
        assert not [text for text in (*lines, *files, *answers) if random in text]
