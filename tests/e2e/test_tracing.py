"""One trace through every service of a running stack, as a collector gets it; and a collector that is gone."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest

from services.shared.embedded_valkey import NO_VALKEY, valkey_binary
from services.shared.tracing.base import TraceContext
from services.shared.tracing.traceparent import traceparent
from tests.support.images import digit_png
from tests.support.otlp_collector import CollectedSpan, Collector, collecting
from tests.support.polling import until
from tests.support.stack import Stack, running_stack

PREDICT, SUBMIT = "POST /v1/models/{model}/predict", "POST /v1/models/{model}/jobs"
CALL = "inference.GRPCInferenceService/ModelInfer"
API, MODEL_SERVER, WORKER = "grayscale-api", "grayscale-model-server", "grayscale-worker"


@dataclass(frozen=True, slots=True)
class Traced:
    stack: Stack
    collector: Collector

    def predict(self, headers: dict[str, str]) -> httpx.Response:
        url = f"{self.stack.url}/v1/models/digits/predict"
        return httpx.post(url, content=digit_png(7), headers={"content-type": "image/png", **headers}, timeout=20)

    def submit(self, headers: dict[str, str]) -> httpx.Response:
        files = [("image", (f"{index}.png", digit_png(index), "image/png")) for index in range(3)]
        return httpx.post(f"{self.stack.url}/v1/models/digits/jobs", files=files, headers=headers, timeout=20)

    def one(self, name: str, trace_id: str, parent_id: str) -> CollectedSpan:
        """The only span of that name below that parent."""
        (found,) = [span for span in self.collector.named(name, trace_id) if span.parent_id == parent_id]
        return found


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traced]:
    if valkey_binary() is None:
        if os.environ.get("CI"):
            pytest.fail(NO_VALKEY)
        pytest.skip(NO_VALKEY)
    with collecting() as collector:
        variables = {
            "GRAYSCALE_OTLP_ENDPOINT": collector.url,
            "GRAYSCALE_TRACE_SAMPLE": "0",
            "GRAYSCALE_WORKER_PROCESSES": "1",
        }
        arguments = ("--model-server", "--no-controller", "--no-web", "--processes", "1")
        with running_stack(tmp_path_factory.mktemp("stack"), *arguments, environment=variables) as stack:
            yield Traced(stack, collector)


def sampled() -> tuple[TraceContext, dict[str, str]]:
    """A client's own place in a trace, and its headers."""
    context = TraceContext(secrets.token_hex(16), secrets.token_hex(8), True)
    return context, {"traceparent": traceparent(context), "tracestate": "vendor=1"}


async def arrived(traced: Traced, context: TraceContext, *names: str) -> None:
    """The last spans of each service to end are there, and with them those that ended before."""
    await until(lambda: all(traced.collector.named(name, context.trace_id) for name in names))


async def test_a_prediction_is_one_trace_from_the_client_to_the_run(traced: Traced) -> None:
    assert traced.predict({}).status_code == 200  # in no trace, and so in none of the collector's
    context, headers = sampled()
    answer = traced.predict({**headers, **traced.stack.admin, "x-request-id": "mine"})
    assert answer.status_code == 200
    await arrived(traced, context, PREDICT, "run")
    request = traced.one(PREDICT, context.trace_id, context.span_id)
    decode = traced.one("decode", context.trace_id, request.span_id)
    call = traced.one(CALL, context.trace_id, request.span_id)
    served = traced.one(CALL, context.trace_id, call.span_id)
    queue, run = (traced.one(name, context.trace_id, served.span_id) for name in ("queue", "run"))
    assert [span.service for span in (request, decode, call)] == [API] * 3
    assert [span.service for span in (served, queue, run)] == [MODEL_SERVER] * 3
    assert [span.kind for span in (request, call, served, run)] == ["server", "client", "server", "internal"]
    assert {span.state for span in (request, served, run)} == {"vendor=1"}
    assert request.attributes["http.response.status_code"] == 200
    assert request.attributes["grayscale.request_id"] == "mine"
    about = (request.attributes["grayscale.model"], request.attributes["grayscale.version"])
    assert (*about, request.attributes["grayscale.arm"]) == ("digits", 1, "stable")
    assert run.attributes == {"grayscale.model": "digits", "grayscale.version": 1, "grayscale.batch_size": 1}
    assert request.started_ns <= decode.started_ns <= decode.ended_ns <= call.ended_ns <= request.ended_ns
    assert {span.trace_id for span in traced.collector.spans} == {context.trace_id}
    assert traced.stack.admin["authorization"].removeprefix("Bearer ") not in repr(traced.collector.spans)
    lines = [json.loads(line) for line in traced.stack.log.read_text().splitlines() if context.trace_id in line]
    assert {line["service"] for line in lines} == {"api", "model-server"}


async def test_the_work_on_a_job_is_in_the_trace_that_asked_for_it(traced: Traced) -> None:
    context, headers = sampled()
    answer = traced.submit(headers)
    assert answer.status_code == 202, answer.text
    await arrived(traced, context, SUBMIT, "work on chunk", "run")
    request = traced.one(SUBMIT, context.trace_id, context.span_id)
    submit = traced.one("submit job", context.trace_id, request.span_id)
    chunk = traced.one("work on chunk", context.trace_id, submit.span_id)
    call = traced.one(CALL, context.trace_id, chunk.span_id)
    served = traced.one(CALL, context.trace_id, call.span_id)
    assert [each.service for each in (request, submit)] == [API, API]
    assert [each.service for each in (chunk, call, served)] == [WORKER, WORKER, MODEL_SERVER]
    assert (submit.kind, chunk.kind, chunk.links) == ("producer", "consumer", (submit.span_id,))
    assert submit.attributes["grayscale.job_id"] == chunk.attributes["grayscale.job_id"] == answer.json()["job_id"]
    assert (chunk.attributes["grayscale.images"], chunk.attributes["grayscale.outcome"]) == (3, "completed")
    assert traced.one("decode", context.trace_id, chunk.span_id).attributes == {"grayscale.images": 3}


async def test_a_collector_that_is_gone_costs_nobody_anything(traced: Traced) -> None:
    traced.collector.stop()
    for _ in range(20):
        assert traced.predict(sampled()[1]).status_code == 200
    await until(lambda: _dropped(traced.stack) >= 20)
    assert traced.stack.stop() == 0


def _dropped(stack: Stack) -> float:
    """Of the API's own spans."""
    text = httpx.get(f"{stack.url}/metrics", timeout=20).text
    lines = [line for line in text.splitlines() if line.startswith("grayscale_trace_spans_dropped_total{")]
    return sum(float(line.rpartition(" ")[2]) for line in lines)
