from __future__ import annotations

import pytest

from services.api.job_options import JobOptions, idempotency_key, job_options
from services.shared.errors import InvalidInput
from services.shared.outbound.base import UrlRefused
from services.shared.priority import Priority
from tests.support.job_bodies import job_scope

HOOK = "https://hooks.example.com/done"


def allow(url: str) -> None:
    if url != HOOK:
        raise UrlRefused("that host is not listed")


@pytest.mark.parametrize(
    ("query", "headers", "fields", "expected"),
    [
        (b"", {}, {}, JobOptions()),
        (b"top_k=3&version=2", {}, {}, JobOptions(top_k=3, version=2)),
        (b"", {"x_priority": b"High", "x_timeout_ms": b"1500"}, {}, JobOptions(priority=Priority.HIGH, timeout_s=1.5)),
        (b"", {}, {"top_k": "7", "priority": "low"}, JobOptions(top_k=7, priority=Priority.LOW)),
        (b"top_k=7", {}, {"top_k": "7"}, JobOptions(top_k=7)),
        (b"", {}, {"callback_url": HOOK}, JobOptions(callback_url=HOOK)),
        (b"callback_url=https%3A%2F%2Fhooks.example.com%2Fdone", {}, {}, JobOptions(callback_url=HOOK)),
        (
            b"",
            {"x_routing_key": b"user-7", "x_release_arm": b"canary"},
            {},
            JobOptions(routing_key=b"user-7", forced="canary"),
        ),
        (b"", {"x_routing_key": b""}, {}, JobOptions()),
        (b"utm_source=x", {}, {}, JobOptions()),
        (b"timeout_ms=604800000", {}, {}, JobOptions(timeout_s=604_800.0)),
    ],
)
def test_options_come_from_query_headers_and_body(
    query: bytes, headers: dict[str, bytes], fields: dict[str, str], expected: JobOptions
) -> None:
    assert job_options(job_scope(None, query, **headers), fields, allow) == expected


@pytest.mark.parametrize(
    ("query", "headers", "fields", "field"),
    [
        (b"top_k=0", {}, {}, "top_k"),
        (b"top_k=101", {}, {}, "top_k"),
        (b"top_k=%D9%A3", {}, {}, "top_k"),
        (b"top_k=" + b"9" * 5000, {}, {}, "top_k"),
        (b"top_k=", {}, {}, "top_k"),
        (b"version=0", {}, {}, "version"),
        (b"", {"x_priority": b"urgent"}, {}, "X-Priority"),
        (b"", {"x_timeout_ms": b"0"}, {}, "timeout_ms"),
        (b"timeout_ms=604800001", {}, {}, "timeout_ms"),
        (b"", {"x_routing_key": b"k" * 257}, {}, "X-Routing-Key"),
        (b"top_k=3", {}, {"top_k": "4"}, "top_k"),
        (b"priority=low", {"x_priority": b"high"}, {}, "priority"),
        (b"", {}, {"callback_url": "http://169.254.169.254/"}, "callback_url"),
    ],
)
def test_an_option_that_cannot_be_is_refused_by_its_name(
    query: bytes, headers: dict[str, bytes], fields: dict[str, str], field: str
) -> None:
    with pytest.raises(InvalidInput) as failure:
        job_options(job_scope(None, query, **headers), fields, allow)
    assert failure.value.field == field


def test_an_idempotency_key_is_visible_ascii() -> None:
    assert idempotency_key(job_scope(None)) is None
    assert idempotency_key(job_scope(None, idempotency_key=b"a-Key_1")) == "a-Key_1"
    for given in (b"", b"a b", b"\xff", b"a\n", b"k" * 256):
        with pytest.raises(InvalidInput, match="1 to 255 visible ASCII") as failure:
            idempotency_key(job_scope(None, idempotency_key=given))
        assert failure.value.field == "Idempotency-Key"
