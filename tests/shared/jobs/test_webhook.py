"""Signatures, what an answer means, and when the next attempt is due."""

from __future__ import annotations

import hashlib
import hmac
import random

import orjson
import pytest

from services.shared.errors import DeadlineExceeded, Overloaded, ServingError, Unavailable
from services.shared.jobs.job import Job, JobRequest, JobState
from services.shared.jobs.webhook import (
    GIVE_UP_S,
    Verdict,
    body_of,
    is_genuine,
    next_try_s,
    signature_of,
    verdict_of,
)
from services.shared.outbound.base import FetchFailed, NoUsableAddress, UrlRefused

SECRET, BODY, AT = "gswh_secret", b'{"event":"job.ended"}', 1_700_000_000.9
DIGEST = hmac.new(b"gswh_secret", b'1700000000.{"event":"job.ended"}', hashlib.sha256).hexdigest()
HEADER = f"t=1700000000,v1={DIGEST}"


def test_the_signature_is_over_time_and_body() -> None:
    assert signature_of(SECRET, BODY, AT) == HEADER


@pytest.mark.parametrize(
    ("header", "secret", "body", "now", "expected"),
    [
        (HEADER, SECRET, BODY, AT, True),
        (HEADER, SECRET, BODY, 1_700_000_300.0, True),
        (HEADER, SECRET, BODY, 1_699_999_700.0, True),
        (HEADER, SECRET, BODY, 1_700_000_301.0, False),
        (HEADER, SECRET, BODY, 1_699_999_699.0, False),
        (HEADER, "gswh_another", BODY, AT, False),
        (HEADER, SECRET, BODY + b" ", AT, False),
        (HEADER.replace("t=1700000000", "t=1700000001"), SECRET, BODY, AT, False),
        (HEADER[:-1], SECRET, BODY, AT, False),
        (f"v1={DIGEST}", SECRET, BODY, AT, False),
        (f"t=,v1={DIGEST}", SECRET, BODY, AT, False),
        (f"t=1e9,v1={DIGEST}", SECRET, BODY, AT, False),
        (f"t=١٧,v1={DIGEST}", SECRET, BODY, AT, False),
        ("t=1700000000,v1=é", SECRET, BODY, AT, False),
        ("t=1700000000", SECRET, BODY, AT, False),
        ("", SECRET, BODY, AT, False),
    ],
)
def test_only_a_fresh_signature_of_this_body_is_genuine(
    header: str, secret: str, body: bytes, now: float, expected: bool
) -> None:
    assert is_genuine(secret, header, body, now) is expected


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (200, Verdict.DELIVERED),
        (204, Verdict.DELIVERED),
        (299, Verdict.DELIVERED),
        (301, Verdict.RETRY),
        (400, Verdict.RETRY),
        (404, Verdict.RETRY),
        (410, Verdict.GIVE_UP),
        (429, Verdict.RETRY),
        (500, Verdict.RETRY),
        (UrlRefused("not on the list"), Verdict.GIVE_UP),
        (NoUsableAddress(), Verdict.RETRY),
        (FetchFailed("refused"), Verdict.RETRY),
        (DeadlineExceeded("too slow"), Verdict.RETRY),
        (Overloaded("no place"), Verdict.RETRY),
        (Unavailable("no keys"), Verdict.RETRY),
    ],
    ids=str,
)
def test_what_an_answer_means(answer: int | ServingError, expected: Verdict) -> None:
    assert verdict_of(answer) is expected


@pytest.mark.parametrize(
    ("attempt", "age_s", "shortest_s", "longest_s"),
    [(1, 0.0, 5.0, 10.0), (2, 10.0, 10.0, 20.0), (9, 2000.0, 1280.0, 2560.0), (10, 4000.0, 1800.0, 3600.0)],
)
def test_the_wait_doubles_up_to_an_hour(attempt: int, age_s: float, shortest_s: float, longest_s: float) -> None:
    waits = [next_try_s(attempt, age_s, random.Random(seed)) for seed in range(100)]
    assert all(wait is not None and shortest_s <= wait <= longest_s for wait in waits)
    assert len(set(waits)) > 50


def test_it_is_given_up_when_the_next_attempt_would_come_after_a_day() -> None:
    source = random.Random(1)
    assert next_try_s(30, GIVE_UP_S - 3600, source) is not None
    assert next_try_s(30, GIVE_UP_S - 1800, source) is None


def test_the_body_is_the_job_as_its_owner_sees_it() -> None:
    request = JobRequest("digits", callback_url="https://example.org/token")
    job = Job("j1", "ann", request, JobState.FAILED, 1, 0, 1, 1.0, 2.0, 3.0, 4.0)
    body = orjson.loads(body_of(job))
    assert (body["event"], body["job_id"], body["state"], body["failed"]) == ("job.ended", "j1", "failed", 1)
    assert "token" not in str(body)
