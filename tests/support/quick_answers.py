"""Requests to both ways through the API, and answers that must be equal but for ids and times."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from services.shared.telemetry.access_log import AccessLog
from tests.support.connections import Client
from tests.support.digit_models import DIGITS
from tests.support.hostile_http import PREDICT, Answer, post
from tests.support.images import digit_png
from tests.support.quick_api import QuickApi, quick_api

PNG = digit_png(7)
_VARYING = {"x-request-id", "server-timing", "content-length", "date", "set-cookie"}


@asynccontextmanager
async def digits_api(tmp_path: Path, **settings: Any) -> AsyncIterator[QuickApi]:
    """The sample model, which was asked once, so that all that the quick way must know of it is known."""
    async with quick_api(tmp_path, DIGITS.parent, **settings) as api:
        assert (await exchanged(await api.connect_plain(), png_post())).status == 200
        await api.idle()
        yield api


def png_post(*headers: str, body: bytes = PNG, target: str = PREDICT, **options: Any) -> bytes:
    return post(target, "image/png", body, *headers, **{"close": False, **options})


async def exchanged(client: Client, sent: bytes) -> Answer:
    await client.send(sent)
    return await client.one()


def comparable(answer: Answer) -> tuple[int, list[str], dict[str, str], Any]:
    """What must be equal: all but ids, times, and what follows from their lengths."""
    headers = {name: value for name, value in answer.headers.items() if name not in _VARYING}
    if "set-cookie" in answer.headers:
        headers["set-cookie"] = re.sub("=[0-9a-f]{32};", "=KEY;", answer.headers["set-cookie"])
    body: Any = answer.document
    for name in ("request_id", "feedback_id", "timings_ms"):
        body.pop(name, None)
    return answer.status, sorted(answer.headers), headers, body


async def both(api: QuickApi, sent: bytes) -> tuple[Answer, int]:
    """The quick server's answer, after it was found equal to the other's, and how many requests were quick."""
    before = api.spied.answered
    quick = await exchanged(await api.connect_quick(), sent)
    plain = await exchanged(await api.connect_plain(), sent)
    assert comparable(quick) == comparable(plain)
    return quick, api.spied.answered - before


def noted_lines(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Of the access log, as they are written from now on, without their time."""
    lines: list[dict[str, Any]] = []
    write_alike = AccessLog.write_alike

    def note_alike(log: AccessLog, beginnings: Sequence[str], fields: dict[str, Any]) -> None:
        written, log._lines = log._lines, []
        write_alike(log, beginnings, fields)
        for line in "\n".join(log._lines).split("\n"):
            noted = json.loads(line)
            lines.append({name: noted[name] for name in noted if name not in {"at", *log._fixed}})
        log._lines = written

    monkeypatch.setattr(AccessLog, "write", lambda _, fields: lines.append(fields))
    monkeypatch.setattr(AccessLog, "write_alike", note_alike)
    return lines
