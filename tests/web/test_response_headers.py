"""Which headers a proxy passes on, and what it adds."""

from __future__ import annotations

import pytest

from services.web.response_headers import API_HEADERS, PAGE_HEADERS, answer_headers, request_headers


def passed(*headers: tuple[bytes, bytes]) -> dict[bytes, bytes]:
    found = request_headers(list(headers), client="192.0.2.7", scheme="https", host=b"api:8080", request_id="r1")
    assert len({name for name, _ in found}) == len(found)
    return dict(found)


@pytest.mark.parametrize(
    "name",
    [
        *("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer"),
        *("transfer-encoding", "upgrade", "expect"),
    ],
)
def test_headers_of_one_connection_are_not_passed_on(name: str) -> None:
    assert name.encode() not in passed((name.encode(), b"close"))
    assert name.encode() not in dict(answer_headers([(name.encode(), b"close")], request_id="r1"))


def test_what_connection_names_is_of_this_connection_too() -> None:
    found = passed((b"connection", b"keep-alive, X-Hop"), (b"x-hop", b"1"), (b"x-kept", b"2"))
    assert b"x-hop" not in found
    assert found[b"x-kept"] == b"2"


def test_keys_cookies_and_what_a_client_asks_for_are_passed_on() -> None:
    sent = {
        b"authorization": b"Bearer k", b"x-api-key": b"k", b"cookie": b"a=1", b"x-routing-key": b"r",
        b"x-release-arm": b"candidate", b"traceparent": b"00-1-2-01", b"idempotency-key": b"i", b"content-length": b"3",
    }  # fmt: skip
    assert {name: passed(*sent.items())[name] for name in sent} == sent


def test_the_api_learns_who_asked_and_by_which_way() -> None:
    found = passed((b"host", b"pages.example"), (b"x-forwarded-for", b"203.0.113.9"), (b"x-request-id", b"forged"))
    assert found[b"x-forwarded-for"] == b"203.0.113.9, 192.0.2.7"
    assert (found[b"x-forwarded-host"], found[b"x-forwarded-proto"]) == (b"pages.example", b"https")
    assert (found[b"host"], found[b"x-request-id"]) == (b"api:8080", b"r1")


def test_an_answer_keeps_its_headers_but_is_never_run_as_a_page() -> None:
    sent = [
        (b"Content-Type", b"text/html"), (b"Set-Cookie", b"a=1"), (b"set-cookie", b"b=2"), (b"Retry-After", b"1"),
        (b"content-security-policy", b"default-src *"), (b"server", b"other"), (b"X-Request-Id", b"r0"),
    ]  # fmt: skip
    found = answer_headers(sent, request_id="r1")
    assert [value for name, value in found if name == b"set-cookie"] == [b"a=1", b"b=2"]
    assert [value for name, value in found if name == b"content-security-policy"] == [
        API_HEADERS["content-security-policy"].encode()
    ]
    assert "sandbox" in API_HEADERS["content-security-policy"]
    assert dict(found)[b"retry-after"] == b"1"
    assert dict(found)[b"x-request-id"] == b"r1"
    assert b"server" not in dict(found)


def test_pages_may_run_and_load_only_what_comes_from_here() -> None:
    policy = dict(rule.strip().split(" ", 1) for rule in PAGE_HEADERS["content-security-policy"].split(";"))
    assert policy["default-src"] == "'self'"
    assert policy["img-src"] == "'self' blob: data:"
    assert policy["frame-ancestors"] == policy["object-src"] == policy["base-uri"] == "'none'"
    assert "unsafe" not in PAGE_HEADERS["content-security-policy"]
