"""No secret passes into a line of text."""

import logging
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.shared.keys.base import Scope
from services.shared.keys.issue import NewKey, issue
from services.shared.redaction import redact
from services.shared.telemetry.logs import JsonFormatter

ISSUED = issue(NewKey("n", frozenset({Scope.PREDICT})), now=0.0)
SECRET, WEBHOOK, KEY_ID = ISSUED.secret, ISSUED.key.webhook_secret, ISSUED.key.key_id


@given(before=st.text(), after=st.text(), secret=st.sampled_from([SECRET, WEBHOOK]))
def test_a_secret_is_taken_out_wherever_it_stands_as_a_word(before: str, after: str, secret: str) -> None:
    said = redact(f"{before} {secret} {after}")
    assert secret[-30:] not in said
    assert f"{KEY_ID}_***" in said


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"Authorization: Bearer {SECRET}", f"Authorization: Bearer gs_{KEY_ID}_***"),
        ("Authorization: Bearer eyJhbGciOiJIUzI1NiJ9.e30.abc", "Authorization: Bearer ***"),
        ("[(b'authorization', b'Basic dXNlcjpwYXNzd29yZA==')]", "[(b'authorization', b'Basic ***')]"),
        ("[(b'x-api-key', b'hunter2-hunter2')]", "[(b'x-api-key', b'***')]"),
        ('{"x-api-key":"hunter2-hunter2"}', '{"x-api-key":"***"}'),
        ("send the header Authorization: Bearer KEY, or X-API-Key: KEY",) * 2,
        ("logs_0123456789ab_are_kept_for_ever_and_ever",) * 2,
        ("a basic misunderstanding",) * 2,
    ],
    ids=range(8),  # the first has a secret that is new in every process
)
def test_credentials_are_taken_out_and_other_words_stay(text: str, expected: str) -> None:
    assert redact(text) == expected


def test_a_log_line_has_no_secret_whichever_way_it_came() -> None:
    try:
        raise ValueError(f"bad header {SECRET}")
    except ValueError:
        record = logging.LogRecord("x", logging.INFO, "f", 1, "got %s", (SECRET,), sys.exc_info())
    record.headers = [(b"authorization", b"Bearer " + SECRET.encode())]
    line = JsonFormatter("test").format(record)
    assert SECRET[-30:] not in line
    assert line.count(f"gs_{KEY_ID}_***") >= 3  # the message, the exception (with its text), the extra


def test_what_is_issued_does_not_show_its_secrets() -> None:
    assert SECRET not in repr(ISSUED)
    assert WEBHOOK not in repr(ISSUED)
    assert ISSUED.key.hash not in repr(ISSUED)
