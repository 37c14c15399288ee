"""Who may make which call: every endpoint of the table with every kind of key."""

from __future__ import annotations

from typing import Any

import pytest

from services.api.auth import ANYONE, Authenticator, Caller, key_in, needed_scopes
from services.shared.asgi import headers_of
from services.shared.errors import Forbidden, Unauthenticated, Unavailable
from services.shared.keys.base import KeySet, Scope
from services.shared.keys.issue import IssuedKey, NewKey, issue
from services.shared.keys.memory import MemoryKeyStore
from tests.api.test_required_scope import TABLE

CALLS = sorted({(method, path) for method, path, _ in TABLE})
SCOPES = list(Scope)


def request(method: str, path: str, *headers: tuple[bytes, bytes]) -> dict[str, Any]:
    return {"type": "http", "method": method, "path": path, "headers": list(headers), "client": ("10.0.0.1", 1)}


def bearer(secret: str) -> tuple[bytes, bytes]:
    return b"authorization", b"Bearer " + secret.encode()


def made(*scopes: Scope) -> IssuedKey:
    return issue(NewKey("a", frozenset(scopes)), now=0.0)


async def store_with(*issued: IssuedKey) -> MemoryKeyStore:
    store = MemoryKeyStore()
    for each in issued:
        await store.add(each.key)
    return store


async def authorize(store: Any, scope: dict[str, Any], *, require_key: bool = False) -> Caller:
    return await Authenticator(store, require_key=require_key).authorize(scope, needed_scopes(scope))


async def outcome(store: Any, scope: dict[str, Any], *, require_key: bool = False) -> str:
    try:
        await authorize(store, scope, require_key=require_key)
    except (Unauthenticated, Forbidden) as error:
        return type(error).__name__
    return "allowed"


@pytest.mark.parametrize(("method", "path", "needed"), TABLE)
async def test_without_a_key(method: str, path: str, needed: Scope | None) -> None:
    call = request(method, path)
    admin_only, closed = await store_with(made(Scope.ADMIN)), await store_with(made(Scope.TESTER))
    is_admin = needed is Scope.ADMIN
    assert await outcome(await store_with(), call) == ("Unauthenticated" if is_admin else "allowed")
    assert await outcome(admin_only, call) == ("Unauthenticated" if is_admin else "allowed")
    assert await outcome(closed, call) == ("allowed" if needed is None else "Unauthenticated")
    assert await outcome(admin_only, call, require_key=True) == ("allowed" if needed is None else "Unauthenticated")


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize(("method", "path", "needed"), TABLE)
async def test_with_a_key_of_one_scope(method: str, path: str, needed: Scope | None, scope: Scope) -> None:
    issued = made(scope)
    store = await store_with(issued)
    allowed = needed is None or scope in (needed, Scope.ADMIN)
    for header in (bearer(issued.secret), (b"x-api-key", issued.secret.encode())):
        assert await outcome(store, request(method, path, header)) == ("allowed" if allowed else "Forbidden")


@pytest.mark.parametrize(("method", "path", "needed"), TABLE)
async def test_with_a_key_that_is_wrong_or_revoked(method: str, path: str, needed: Scope | None) -> None:
    revoked, other = made(Scope.ADMIN), made(Scope.ADMIN)
    store = await store_with(revoked)
    await store.revoke(revoked.key.key_id, at=1.0)
    wrong = revoked.secret[:-1] + ("A" if revoked.secret[-1] != "A" else "B")
    for secret in (revoked.secret, other.secret, wrong, "hunter2", "ü", "gs_", "\x00"):
        expected = "allowed" if needed is None else "Unauthenticated"
        assert await outcome(store, request(method, path, bearer(secret))) == expected


@pytest.mark.parametrize(("method", "path"), [("POST", "/v1/models/m/predict"), ("POST", "/v2/models/m/infer")])
async def test_forcing_an_arm_is_a_testers_once_keys_exist(method: str, path: str) -> None:
    predict, tester, both = made(Scope.PREDICT), made(Scope.TESTER), made(Scope.PREDICT, Scope.TESTER)
    arm = (b"x-release-arm", b"candidate")
    assert await outcome(await store_with(), request(method, path, arm)) == "allowed"
    store = await store_with(predict, tester, both)
    expected = {predict: "Forbidden", tester: "Forbidden", both: "allowed"}
    for issued, answer in expected.items():
        assert await outcome(store, request(method, path, arm, bearer(issued.secret))) == answer


async def test_the_caller_is_known_by_its_key_and_has_what_the_key_implies() -> None:
    issued = made(Scope.ADMIN)
    store = await store_with(issued)
    caller = await authorize(store, request("POST", "/v1/models/m/predict", bearer(issued.secret)))
    assert caller == Caller(issued.key, frozenset(Scope))
    anyone = await authorize(store, request("POST", "/v1/models/m/predict"))
    assert anyone == Caller(None, frozenset(Scope) - {Scope.ADMIN})


async def test_a_refusal_names_the_scope_and_never_the_secret() -> None:
    issued, unknown = made(Scope.JOBS, Scope.PREDICT), made(Scope.ADMIN)
    store = await store_with(issued)
    with pytest.raises(Forbidden, match=f"needs the scope admin; the key {issued.key.key_id} has jobs, predict"):
        await authorize(store, request("PUT", "/v1/models/m/default", bearer(issued.secret)))
    with pytest.raises(Unauthenticated, match="needs a key with the scope predict: send the header Authorization"):
        await authorize(store, request("POST", "/v1/models/m/predict"))
    with pytest.raises(Unauthenticated, match="not known") as caught:
        await authorize(store, request("POST", "/v1/models/m/predict", bearer(unknown.secret)))
    assert unknown.key.key_id not in str(caught.value)
    await store.revoke(issued.key.key_id, at=1.0)
    with pytest.raises(Unauthenticated, match=f"{issued.key.key_id} was revoked") as caught:
        await authorize(store, request("POST", "/v1/models/m/predict", bearer(issued.secret)))
    assert issued.secret[16:] not in str(caught.value)


class AwayStore:
    async def keys(self) -> KeySet:
        raise Unavailable("gone")


@pytest.mark.parametrize(("method", "path", "needed"), TABLE)
async def test_while_the_store_is_away_nothing_that_needs_a_scope_is_let_in(
    method: str, path: str, needed: Scope | None
) -> None:
    if needed is None:
        assert await authorize(AwayStore(), request(method, path)) == ANYONE
    else:
        with pytest.raises(Unavailable):
            await authorize(AwayStore(), request(method, path))


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([], None),
        ([(b"authorization", b"Bearer abc")], "abc"),
        ([(b"authorization", b"bearer  abc ")], "abc"),
        ([(b"authorization", b"Bearer")], None),
        ([(b"authorization", b"Bearer ")], None),
        ([(b"authorization", b"Basic dXNlcjpwdw==")], None),
        ([(b"x-api-key", b" abc ")], "abc"),
        ([(b"x-api-key", b"")], None),
        ([(b"authorization", b"Basic dXNlcjpwdw=="), (b"x-api-key", b"abc")], "abc"),
        ([(b"x-api-key", b"other"), (b"authorization", b"Bearer abc")], "abc"),
    ],
)
def test_which_key_a_request_brings(headers: list[tuple[bytes, bytes]], expected: str | None) -> None:
    assert key_in(headers_of(request("GET", "/", *headers))) == expected
