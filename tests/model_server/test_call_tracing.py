"""A trace from a client of the model server into its runs, over both transports, and what begins none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import pytest

from services.model_server.calls import Calls
from services.model_server.listeners import Addresses, Listeners
from services.shared.errors import InvalidInput, NotFound
from services.shared.inference.triton import TritonInference
from services.shared.model_ref import ModelRef
from services.shared.oip.handler import ProtocolHandler
from services.shared.tracing.base import SpanKind, SpanRecord
from services.shared.tracing.memory import MemorySpans
from services.shared.tracing.request_tracing import RequestTracing
from services.shared.tracing.span import Tracer, inner_span, within
from services.shared.tracing.traceparent import untraced_context
from services.shared.wiring import LocalServing, ServingSettings
from tests.support.digit_models import DIGITS
from tests.support.oip_server import ANY_PORT, MESSAGE_BYTES
from tests.support.polling import until

CALL = "inference.GRPCInferenceService/ModelInfer"
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
REF = ModelRef("digits", 1)
IMAGE = {"image": np.zeros((2, 28, 28, 1), np.uint8)}


@dataclass(frozen=True, slots=True)
class Served:
    addresses: Addresses
    spans: MemorySpans

    def of(self, kind: SpanKind) -> SpanRecord:
        """The only span on that side of a call."""
        (found,) = [span for span in self.spans.spans if span.kind is kind]
        return found


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    """The sample model, of whose calls every one that comes without a trace begins one."""
    settings = ServingSettings(DIGITS.parent, tmp_path, 1, "model-server-1", routes=False, trial_timeout_s=0.0)
    serving, spans = LocalServing(settings), MemorySpans()
    handler = ProtocolHandler(serving.client, resolve=serving.resolve, server_version="1")
    calls = Calls(None, RequestTracing(Tracer(spans), 1.0))
    listeners = Listeners(handler, bytes, max_message_bytes=MESSAGE_BYTES, calls=calls)
    addresses = await listeners.start(ANY_PORT)
    await serving.start()
    while await serving.readiness.reasons():
        await asyncio.sleep(0.002)
    yield Served(addresses, spans)
    await listeners.stop(1.0)
    await serving.close(1.0)


@pytest.fixture
async def client(served: Served) -> AsyncIterator[TritonInference]:
    client = TritonInference(f"127.0.0.1:{served.addresses.grpc}", untraced=untraced_context())
    await client.config(REF)
    yield client
    await client.close()


async def test_a_call_is_a_part_of_its_callers_trace(served: Served, client: TritonInference) -> None:
    tracer = Tracer(served.spans)
    with within(tracer.begin("request", SpanKind.INTERNAL, None)) as request:
        await client.infer(REF, IMAGE)
    await until(lambda: len(served.spans.spans) == 5)
    call, server = served.of(SpanKind.CLIENT), served.of(SpanKind.SERVER)
    queue, run = served.spans.named("queue"), served.spans.named("run")
    assert {span.context.trace_id for span in served.spans.spans} == {request.context.trace_id}
    assert (call.parent_id, server.parent_id) == (request.context.span_id, call.context.span_id)
    assert queue.parent_id == run.parent_id == server.context.span_id
    assert call.name == server.name == CALL
    assert call.attributes["rpc.grpc.status_code"] == server.attributes["rpc.grpc.status_code"] == 0
    assert call.attributes["server.port"] == served.addresses.grpc
    assert server.attributes["grayscale.model"] == "digits"
    assert run.attributes == {"grayscale.model": "digits", "grayscale.version": 1, "grayscale.batch_size": 2}


async def test_who_says_that_a_call_is_in_no_trace_begins_none(served: Served, client: TritonInference) -> None:
    await client.infer(REF, IMAGE)
    assert served.spans.spans == []


async def test_a_client_that_knows_of_no_traces_begins_one(served: Served) -> None:
    client = TritonInference(f"127.0.0.1:{served.addresses.grpc}")
    await client.infer(REF, IMAGE)
    await until(lambda: len(served.spans.spans) == 3)
    assert served.of(SpanKind.SERVER).parent_id == ""
    await client.close()


async def test_a_call_that_fails_says_how(served: Served, client: TritonInference) -> None:
    tracer = Tracer(served.spans)
    for ref, error in ((ModelRef("nobody", 1), NotFound), (REF, InvalidInput)):
        served.spans.spans.clear()
        wrong = {"image": np.zeros((1, 9, 9, 1), np.uint8)}
        with pytest.raises(error), within(tracer.begin("request", SpanKind.INTERNAL, None)):
            await client.infer(ref, wrong)
        await until(lambda: len(served.spans.spans) == 3)
        call, server = served.of(SpanKind.CLIENT), served.of(SpanKind.SERVER)
        assert call.failure == error.__name__
        assert call.attributes["rpc.grpc.status_code"] == server.attributes["rpc.grpc.status_code"] != 0
        assert server.failure == ""  # the caller's mistake


async def test_the_same_over_http(served: Served) -> None:
    document = {"inputs": [{"name": "image", "shape": [1, 28, 28, 1], "datatype": "UINT8", "data": [0] * 784}]}
    url = f"http://127.0.0.1:{served.addresses.http}/v2"
    async with httpx.AsyncClient() as http:
        headers = {"traceparent": f"00-{TRACE}-{SPAN}-01"}
        assert (await http.post(f"{url}/models/digits/infer", json=document, headers=headers)).status_code == 200
        assert (await http.get(f"{url}/health/ready", headers=headers)).status_code == 200
    await until(lambda: len(served.spans.spans) == 3)
    server = served.of(SpanKind.SERVER)
    assert (server.name, server.parent_id, server.context.trace_id) == ("POST /v2", SPAN, TRACE)
    assert served.spans.named("run").parent_id == server.context.span_id


async def test_requests_that_share_a_call_are_not_traced_ones(served: Served, client: TritonInference) -> None:
    """A call of many has no place in the trace of one; whoever is traced has a call of its own."""
    tracer = Tracer(served.spans)
    with within(tracer.begin("request", SpanKind.INTERNAL, None)) as request, inner_span("part"):
        for _ in range(3):
            await client.infer(REF, IMAGE)
    await until(lambda: len(served.spans.spans) == 14)
    servers = [span for span in served.spans.spans if span.kind is SpanKind.SERVER]
    assert {span.context.trace_id for span in servers} == {request.context.trace_id}
    assert len(servers) == 3
