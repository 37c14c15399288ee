"""Which requests of the API are recorded, whichever way they take."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from services.api import parts as parts_module
from services.shared.tracing.base import SpanRecord
from services.shared.tracing.memory import MemorySpans
from services.shared.tracing.request_tracing import attributes_of
from services.shared.tracing.settings import TracingSettings
from services.shared.tracing.span import Tracer
from tests.support.polling import until
from tests.support.quick_answers import digits_api, exchanged, noted_lines, png_post
from tests.support.quick_api import QuickApi

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED, UNSAMPLED = (f"traceparent: 00-{TRACE}-{SPAN}-{flags}" for flags in ("01", "00"))
REQUEST = "POST /v1/models/{model}/predict"
ASKED = 300

Traced = Callable[[float], Any]


@pytest.fixture
def traced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Traced:
    """An API that records this share of its requests, and what it has recorded."""

    @asynccontextmanager
    async def api_of(share: float) -> AsyncIterator[tuple[QuickApi, MemorySpans]]:
        spans = MemorySpans()
        monkeypatch.setattr(parts_module, "tracer_of", lambda *_, **__: Tracer(spans))
        async with digits_api(tmp_path, tracing=TracingSettings("http://collector", share)) as api:
            spans.spans.clear()
            yield api, spans

    return api_of


def of_trace(spans: MemorySpans, trace_id: str) -> dict[str, SpanRecord]:
    return {span.name: span for span in spans.spans if span.context.trace_id == trace_id}


async def test_a_sampled_trace_is_gone_on_with(traced: Traced, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = noted_lines(monkeypatch)
    async with traced(0.0) as (api, spans):
        answer = await exchanged(await api.connect_quick(), png_post(SAMPLED, "x-request-id: mine"))
        assert answer.status == 200
        await until(lambda: REQUEST in of_trace(spans, TRACE))
        found = of_trace(spans, TRACE)
    assert set(found) == {REQUEST, "decode", "queue", "run"}
    request = found[REQUEST]
    assert request.parent_id == SPAN
    assert {found[name].parent_id for name in ("decode", "queue", "run")} == {request.context.span_id}
    assert request.attributes == {
        "http.request.method": "POST",
        "http.route": "/v1/models/{model}/predict",
        "http.response.status_code": 200,
        "url.path": "/v1/models/digits/predict",
        "url.scheme": "http",
        "grayscale.request_id": "mine",
        "grayscale.model": "digits",
        "grayscale.version": 1,
        "grayscale.arm": "stable",
    }
    assert found["run"].attributes == {"grayscale.model": "digits", "grayscale.version": 1, "grayscale.batch_size": 1}
    assert found["decode"].attributes == {"grayscale.images": 1}
    assert request.started_ns <= found["decode"].started_ns <= found["decode"].ended_ns
    assert found["queue"].ended_ns <= found["run"].ended_ns <= request.ended_ns
    assert [line["trace_id"] for line in lines if line["request_id"] == "mine"] == [TRACE]


async def test_a_trace_that_is_not_sampled_is_only_told_in_the_log(
    traced: Traced, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = noted_lines(monkeypatch)
    async with traced(1.0) as (api, spans):
        for header in (UNSAMPLED, "traceparent: 00-nothing"):
            assert (await exchanged(await api.connect_quick(), png_post(header))).status == 200
        await api.idle()
        recorded = {span.context.trace_id for span in spans.spans}
    assert lines[-2]["trace_id"] == TRACE
    assert recorded == {lines[-1]["trace_id"]}  # a header that says nothing counts as none: a trace of its own


async def test_none_is_recorded_and_all_stay_quick_without_a_share(traced: Traced) -> None:
    async with traced(0.0) as (api, spans):
        client, before = await api.connect_quick(), api.spied.answered
        for _ in range(10):
            await exchanged(client, png_post())
        assert api.spied.answered - before == 10
        assert spans.spans == []


async def test_the_share_is_recorded_and_the_others_stay_quick(traced: Traced) -> None:
    async with traced(0.2) as (api, spans):
        client, before = await api.connect_quick(), api.spied.answered
        for _ in range(ASKED):
            assert (await exchanged(client, png_post())).status == 200
        await api.idle()
        recorded = sum(span.name == REQUEST for span in spans.spans)
        assert recorded + api.spied.answered - before == ASKED
    assert 20 < recorded < 110  # 60 +- 5.7 standard deviations


async def test_failures_of_the_server_alone_are_failures_of_the_span(traced: Traced) -> None:
    async with traced(0.0) as (api, spans):
        missing = png_post(SAMPLED, target="/v1/models/nobody/predict")
        assert (await exchanged(await api.connect_quick(), missing)).status == 404
        await until(lambda: bool(spans.spans))
        span = spans.named(REQUEST)
        assert (span.attributes["http.response.status_code"], span.failure) == (404, "")
        probe = b"GET /healthz/live HTTP/1.1\r\nHost: here\r\n" + f"{SAMPLED}\r\n\r\n".encode()
        assert (await exchanged(await api.connect_quick(), probe)).status == 200
        await api.idle()
        assert len(spans.spans) == 1


async def test_without_tracing_a_trace_is_in_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = noted_lines(monkeypatch)
    async with digits_api(tmp_path) as api:
        for header in (SAMPLED, UNSAMPLED):
            assert (await exchanged(await api.connect_quick(), png_post(header))).status == 200
        assert [line.get("trace_id") for line in lines[-2:]] == [TRACE, TRACE]
        assert b"grayscale_trace_spans_exported_total 0" in await _metrics(api)


async def _metrics(api: QuickApi) -> bytes:
    client = await api.connect_plain()
    await api.parts.complete()
    return (await exchanged(client, b"GET /metrics HTTP/1.1\r\nHost: here\r\n\r\n")).body


def test_a_span_says_nothing_of_the_caller() -> None:
    log: dict[str, Any] = json.loads('{"model": "digits/1", "arm": "stable", "key_id": "k", "path": "/p", "ms": 1}')
    assert attributes_of(log) == {"grayscale.model": "digits", "grayscale.version": 1, "grayscale.arm": "stable"}
