"""Which key decides the arm: the client's, the browser's cookie, or chance."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest
from starlette.types import Scope

from services.api.routing_key import COOKIE, RoutingKey, routing_key
from services.shared.errors import InvalidInput

OURS = "0123456789abcdef" * 2
FRESH = re.compile(rb"[0-9a-f]{32}")
BROWSER = (b"sec-fetch-site", b"none")


def scope(*headers: tuple[bytes, bytes], scheme: str = "http") -> Scope:
    return {"type": "http", "scheme": scheme, "headers": list(headers)}


def cookie(text: str) -> tuple[bytes, bytes]:
    return b"cookie", text.encode("latin-1")


@pytest.mark.parametrize("key", [b"a", b"user-17", bytes(range(1, 256)), b"x" * 256, b" "])
def test_a_clients_own_key_is_taken_as_it_is(key: bytes) -> None:
    given = scope((b"x-routing-key", key), cookie(f"{COOKIE}={OURS}"), BROWSER)
    assert routing_key(given) == RoutingKey(key)


def test_a_key_that_is_too_long_is_refused_by_name() -> None:
    with pytest.raises(InvalidInput, match="longer than 256 bytes") as refused:
        routing_key(scope((b"x-routing-key", b"x" * 257)))
    assert refused.value.field == "X-Routing-Key"


@pytest.mark.parametrize(
    "cookies",
    [
        f"{COOKIE}={OURS}",
        f"a=1; {COOKIE}={OURS}",
        f"{COOKIE}={OURS}; a=1",
        f"a=1;{COOKIE}={OURS};b=2",
        f"other={OURS[::-1]}; {COOKIE}={OURS}",
        # What other servers of the same host have set: their cookies come with ours, whatever they hold.
        f'theme={{"dark": true}}; {COOKIE}={OURS}',
        f"path=/x; {COOKIE}={OURS}",
        f"a=b c; {COOKIE}={OURS}",
        f"flags[0]=1; {COOKIE}={OURS}",
        f"no_value; {COOKIE}={OURS}",
        f"=; ;; {COOKIE}={OURS}",
        f"name=é; {COOKIE}={OURS}",
        f'quoted="a; b"; {COOKIE}={OURS}',
        f"{COOKIE}=gone; {COOKIE}={OURS}",
    ],
)
def test_our_cookie_is_found_among_all_others(cookies: str) -> None:
    assert routing_key(scope(cookie(cookies), BROWSER)) == RoutingKey(OURS.encode())


@pytest.mark.parametrize(
    "cookies",
    [
        "",
        f"{COOKIE}=",
        f"{COOKIE}",
        f"{COOKIE}={OURS[:-1]}",
        f"{COOKIE}={OURS}0",
        f"{COOKIE}={OURS.upper()}",
        f"{COOKIE}={'g' * 32}",
        f"x{COOKIE}={OURS}",
        f"a={COOKIE}={OURS}",
        f"{COOKIE.upper()}={OURS}",
    ],
)
def test_a_cookie_that_we_did_not_set_is_replaced(cookies: str) -> None:
    found = routing_key(scope(cookie(cookies), BROWSER))
    assert FRESH.fullmatch(found.key)
    assert found.set_cookie is not None


def test_a_browser_is_asked_to_keep_its_key() -> None:
    found = routing_key(scope(BROWSER))
    assert found.set_cookie is not None
    value, *attributes = found.set_cookie.decode().split("; ")
    assert value == f"{COOKIE}={found.key.decode()}"
    assert attributes == ["Path=/", "Max-Age=31536000", "HttpOnly", "SameSite=Lax"]
    assert routing_key(scope(cookie(value), BROWSER)) == RoutingKey(found.key)


def test_over_tls_the_cookie_is_for_tls_only() -> None:
    found = routing_key(scope(BROWSER, scheme="https"))
    assert found.set_cookie is not None
    assert found.set_cookie.endswith(b"; Secure")


@pytest.mark.parametrize("headers", [[], [(b"x-routing-key", b"")], [(b"user-agent", b"curl/8")]])
def test_another_client_gets_a_new_key_each_time_and_is_asked_nothing(headers: Sequence[tuple[bytes, bytes]]) -> None:
    found = [routing_key(scope(*headers)) for _ in range(50)]
    assert len({each.key for each in found}) == 50
    assert all(FRESH.fullmatch(each.key) and each.set_cookie is None for each in found)
