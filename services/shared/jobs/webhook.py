"""Telling a job's owner that it has ended: what is sent, how it is signed, and what the answer means. Pure.

The signature is an HMAC-SHA256 (RFC 2104) over the time and the body, so that a delivery that somebody has caught
cannot be sent again later. Anybody may send to a public URL: who receives it must check the signature and the time.
"""

from __future__ import annotations

import enum
import hashlib
import hmac
import random
from dataclasses import dataclass

import orjson

from services.shared.errors import ServingError
from services.shared.jobs.job import Job
from services.shared.jobs.job_document import job_document
from services.shared.jobs.retry import Backoff, backoff_s
from services.shared.outbound.base import NoUsableAddress, UrlRefused

SIGNATURE_HEADER = "X-Grayscale-Signature"
DELIVERY_HEADER = "X-Grayscale-Delivery"
EVENT = "job.ended"
REPLAY_WINDOW_S = 300.0
GIVE_UP_S = 86_400.0
_BACKOFF = Backoff(first_s=10.0, longest_s=3600.0)  # half of it is random: from 5 s to an hour
_GONE = 410


@dataclass(frozen=True, slots=True)
class Webhook:
    """The end of a job, leased to one sender for its `attempt` 1, 2, …; of its leases only that with the newest `token`
    counts. `delivery_id` is the same at every attempt: a receiver that has seen it need not act again."""

    delivery_id: str
    job: Job
    attempt: int
    token: int


class Verdict(enum.Enum):
    """What an attempt came to."""

    DELIVERED = "delivered"
    RETRY = "retry"
    GIVE_UP = "give up"


def delivery_id_of(job_id: str, end: int) -> str:
    """`end` counts a job's ends from 1: a dead letter that is tried again gives it another one."""
    return f"{job_id}-{end}"


def body_of(job: Job) -> bytes:
    return orjson.dumps({"event": EVENT, **job_document(job)})


def signature_of(secret: str, body: bytes, at: float) -> str:
    """`t=<Unix seconds>,v1=<hexadecimal HMAC-SHA256 of "<t>.<body>">`."""
    return f"t={int(at)},v1={_digest(secret, str(int(at)), body)}"


def is_genuine(secret: str, header: str, body: bytes, now: float) -> bool:
    """Whether a signature is that of the body, and not older or newer than REPLAY_WINDOW_S."""
    sent_at, _, digest = header.removeprefix("t=").partition(",v1=")
    if not (sent_at.isascii() and sent_at.isdigit() and digest.isascii()):
        return False
    in_time = abs(now - int(sent_at)) <= REPLAY_WINDOW_S
    return hmac.compare_digest(digest, _digest(secret, sent_at, body)) and in_time


def verdict_of(answer: int | ServingError) -> Verdict:
    """Of the receiver's status, or of why there is none.

    2xx                    DELIVERED
    410 Gone               GIVE_UP    the receiver asks for it
    the URL is refused     GIVE_UP    by our own rules: the same next time
    everything else        RETRY      also a redirect, which is not followed, and a name that has no address just now
    """
    if isinstance(answer, UrlRefused) and not isinstance(answer, NoUsableAddress):
        return Verdict.GIVE_UP
    if isinstance(answer, ServingError):
        return Verdict.RETRY
    if 200 <= answer < 300:
        return Verdict.DELIVERED
    return Verdict.GIVE_UP if answer == _GONE else Verdict.RETRY


def next_try_s(attempt: int, age_s: float, source: random.Random) -> float | None:
    """How long to wait after attempt 1, 2, … of a webhook whose job ended `age_s` ago; None: it is given up."""
    wait_s = backoff_s(attempt, source, rule=_BACKOFF)
    return wait_s if age_s + wait_s <= GIVE_UP_S else None


def _digest(secret: str, sent_at: str, body: bytes) -> str:
    return hmac.new(secret.encode(), sent_at.encode() + b"." + body, hashlib.sha256).hexdigest()
