"""Signed answers: what comes back, and that nothing else does."""

from __future__ import annotations

import base64
import multiprocessing
import stat
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.shared.errors import InvalidInput
from services.shared.feedback import EXPIRES_S, KEY_BYTES, FeedbackClaim, FeedbackSigner, feedback_key
from services.shared.model_ref import MAX_VERSION, ModelRef

SIGNER = FeedbackSigner(bytes(range(KEY_BYTES)))
NOW = 1_800_000_000
CLAIM = FeedbackClaim(ModelRef("digits", 3), "candidate", 7, NOW, "r-2026", 2)
UNKNOWN = "this feedback_id was not made by this server"
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def refused(token: str, match: str = UNKNOWN, *, now: float = NOW) -> None:
    with pytest.raises(InvalidInput, match=match) as error:
        SIGNER.verify(token, now=now)
    assert error.value.field == "feedback_id"


@settings(derandomize=True, max_examples=100, deadline=None)
@given(
    st.builds(
        FeedbackClaim,
        st.builds(ModelRef, st.from_regex(r"\A[a-z][a-z0-9_]{0,60}\Z"), st.integers(1, MAX_VERSION)),
        st.text(st.characters(codec="utf-8"), max_size=20),
        st.integers(-1, 10**6),
        st.integers(0, NOW),
        st.text(st.characters(codec="utf-8"), max_size=20),
        st.integers(0, 1000),
        st.from_regex(r"\A[0-9a-f]{0,32}\Z"),
    )
)
def test_a_claim_comes_back_as_it_was_signed(claim: FeedbackClaim) -> None:
    token = SIGNER.sign(claim)
    assert set(token) <= set(ALPHABET)  # goes into a URL, a header or a file name as it is
    assert SIGNER.verify(token, now=claim.at) == claim


def test_every_flipped_bit_is_refused() -> None:
    token = SIGNER.sign(CLAIM)
    data = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    for bit in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        refused(base64.urlsafe_b64encode(flipped).rstrip(b"=").decode())


@pytest.mark.parametrize("name", ["a", "ab", "abc"])  # the last character has 0, 2 or 4 bits that mean nothing
def test_a_claim_has_one_token_only(name: str) -> None:
    token = SIGNER.sign(FeedbackClaim(ModelRef(name, 1), "stable", 1, NOW))
    for position in range(len(token)):
        for sign in ALPHABET.replace(token[position], ""):
            refused(token[:position] + sign + token[position + 1 :])
    for other in (f"{token}=", f"{token}==", f"{token}\n", f" {token}", f"{token}A", token[:-1], token.swapcase()):
        refused(other)


def test_the_other_base64_alphabet_is_refused() -> None:
    tokens = (SIGNER.sign(FeedbackClaim(ModelRef("digits", n), "stable", 1, NOW)) for n in range(1, 100))
    token = next(t for t in tokens if "-" in t or "_" in t)
    refused(token.replace("-", "+").replace("_", "/"))


@pytest.mark.parametrize("token", ["", "A", "AAAA", "no token", "é" * 40, "\udcff", "A" * 512, "A" * 513, "A" * 10**6])
def test_what_is_no_token_is_refused(token: str) -> None:
    refused(token)


def test_the_token_of_another_key_is_refused() -> None:
    refused(FeedbackSigner(bytes(KEY_BYTES)).sign(CLAIM))


@pytest.mark.parametrize("age_s", [-60.0, 0.0, EXPIRES_S])
def test_a_token_holds_for_a_month(age_s: float) -> None:
    assert SIGNER.verify(SIGNER.sign(CLAIM), now=NOW + age_s) == CLAIM


def test_an_older_token_has_expired() -> None:
    refused(SIGNER.sign(CLAIM), "this feedback_id has expired", now=NOW + EXPIRES_S + 1)


@pytest.mark.parametrize("size", [0, KEY_BYTES - 1, KEY_BYTES + 1])
def test_a_key_has_its_size(size: int) -> None:
    with pytest.raises(ValueError, match="a feedback key has 32 bytes"):
        FeedbackSigner(bytes(size))


def test_the_key_is_made_once_and_readable_by_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "data" / "feedback.key"
    key = feedback_key(path)
    assert len(key) == KEY_BYTES
    assert feedback_key(path) == key == path.read_bytes()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]
    assert feedback_key(tmp_path / "other") != key


def test_threads_that_start_together_get_one_key(tmp_path: Path) -> None:
    for trial in range(50):
        path, together = tmp_path / str(trial) / "feedback.key", threading.Barrier(8)

        def get(path: Path = path, together: threading.Barrier = together) -> bytes:
            together.wait()
            return feedback_key(path)

        with ThreadPoolExecutor(8) as pool:
            keys = {each.result() for each in [pool.submit(get) for _ in range(8)]}
        assert keys == {path.read_bytes()}
        assert list(path.parent.iterdir()) == [path]


def _get(paths: Sequence[Path], together: Barrier, queue: multiprocessing.Queue[list[bytes]]) -> None:
    keys = []
    for path in paths:
        together.wait(30)
        keys.append(feedback_key(path))
    queue.put(keys)


def test_processes_that_start_together_get_one_key(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    paths = [tmp_path / str(trial) / "feedback.key" for trial in range(50)]
    queue, together = spawn.Queue(), spawn.Barrier(4)
    processes = [spawn.Process(target=_get, args=(paths, together, queue)) for _ in range(4)]
    for process in processes:
        process.start()
    found = [queue.get(timeout=60) for _ in processes]
    for process in processes:
        process.join(30)
        process.close()
    queue.close()
    queue.join_thread()
    assert all(keys == [path.read_bytes() for path in paths] for keys in found)
