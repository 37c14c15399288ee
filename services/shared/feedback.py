"""`feedback_id`: what the server itself said about an answer, signed, so that it needs to remember nothing.

A token is base64url(payload + MAC): the payload is a JSON array [format, release, step, arm, model, version, top-1,
Unix seconds, nonce], the MAC 16 bytes of BLAKE2b keyed with the secret (RFC 7693, section 2.9): as strong a MAC as
HMAC-SHA256 cut to that length, and a tenth of its time for so few bytes.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import orjson

from services.shared.errors import InvalidInput
from services.shared.model_ref import ModelRef

KEY_BYTES = 32
EXPIRES_S = 30 * 24 * 3600.0  # truth often comes late: a month
_FORMAT = 2
_MAC_BYTES = 16
_MAX_TOKEN = 512
_URL_SAFE = bytes.maketrans(b"+/", b"-_")


@dataclass(slots=True)  # not frozen, as in `imaging/base.py`: there are many
class FeedbackClaim:
    """What an answer was: `release` is empty and `step` 0 where no release was in progress; `top_1` is the index of the
    best class of the first image, -1 for tasks without classes; `at` in whole Unix seconds. `nonce` sets two answers
    apart that are alike in all else, so that the truth about each counts once."""

    ref: ModelRef
    arm: str
    top_1: int
    at: int
    release: str = ""
    step: int = 0
    nonce: str = ""


class FeedbackSigner:
    """Signs claims with a secret of KEY_BYTES that all processes share."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"a feedback key has {KEY_BYTES} bytes")
        self._keyed = hashlib.blake2b(digest_size=_MAC_BYTES, key=key)

    def sign(self, claim: FeedbackClaim) -> str:
        return self.signs(claim.ref, claim.arm, claim.release, claim.step, claim.at)(claim.top_1, claim.nonce)

    def signs(self, ref: ModelRef, arm: str, release: str, step: int, at: int) -> Callable[[int, str], str]:
        """What signs claims that differ in their `top_1` and `nonce` (letters and digits) only."""
        fixed, keyed = _beginning(release, step, arm, ref), self._keyed

        def sign(top_1: int, nonce: str) -> str:
            payload = f'{fixed},{top_1},{at},"{nonce}"]'.encode()
            mac = keyed.copy()
            mac.update(payload)
            return _text(payload + mac.digest())

        return sign

    def verify(self, token: str, *, now: float) -> FeedbackClaim:
        """The claim in a token that this server made at most EXPIRES_S ago; raises InvalidInput otherwise."""
        unknown = InvalidInput("this feedback_id was not made by this server", field="feedback_id")
        if len(token) > _MAX_TOKEN:
            raise unknown
        try:
            data = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            raise unknown from None
        payload, mac = data[:-_MAC_BYTES], data[-_MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(payload)):
            raise unknown
        if _text(data) != token:  # base64 has other spellings of the same bytes; a claim has one token, counted once
            raise unknown
        _, release, step, arm, name, version, top_1, at, nonce = orjson.loads(payload)
        if now - at > EXPIRES_S:
            raise InvalidInput("this feedback_id has expired", field="feedback_id")
        return FeedbackClaim(ModelRef(name, version), arm, top_1, at, release, step, nonce)

    def _mac(self, payload: bytes) -> bytes:
        mac = self._keyed.copy()
        mac.update(payload)
        return mac.digest()


@lru_cache(maxsize=1024)
def _beginning(release: str, step: int, arm: str, ref: ModelRef) -> str:
    """Of a payload: what the answers of one arm in one step have in common."""
    return orjson.dumps([_FORMAT, release, step, arm, ref.name, ref.version])[:-1].decode()


def _text(data: bytes) -> str:
    return binascii.b2a_base64(data, newline=False).rstrip(b"=").translate(_URL_SAFE).decode()


def feedback_key(path: Path) -> bytes:
    """The secret in a file, made (mode 600) when it is not there; of processes that start together one makes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        try:
            key = path.read_bytes()
        except FileNotFoundError:
            handle, fresh = tempfile.mkstemp(dir=path.parent)
            with os.fdopen(handle, "wb") as file:
                file.write(os.urandom(KEY_BYTES))
            try:
                os.link(fresh, path)  # fails when another process was first
            except FileExistsError:
                pass
            finally:
                Path(fresh).unlink()
        else:
            return key
