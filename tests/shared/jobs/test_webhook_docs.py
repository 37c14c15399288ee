"""What users copy from docs/jobs.md checks what the server sends."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest

from services.shared.jobs.webhook import signature_of

PAGE = Path(__file__).resolve().parents[3] / "docs" / "jobs.md"
SECRET, BODY = "gswh_secret", b'{"event":"job.ended"}'


@pytest.fixture
def documented() -> Any:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(code, str(PAGE), "exec"), names)
    return names["is_genuine"]


def test_the_documented_check_takes_what_is_sent_and_nothing_else(documented: Any) -> None:
    now = time.time()
    header = signature_of(SECRET, BODY, now)
    assert documented(SECRET, header, BODY)
    assert not documented("another", header, BODY)
    assert not documented(SECRET, header, BODY + b" ")
    assert not documented(SECRET, signature_of(SECRET, BODY, now - 400), BODY)
    assert not documented(SECRET, signature_of(SECRET, BODY, now + 400), BODY)
    for forged in ("", "t=,v1=", f"t={int(now)}", f"t={int(now)},v1=é", header.replace("t=", "t=0", 1) + "0"):
        assert not documented(SECRET, forged, BODY)
