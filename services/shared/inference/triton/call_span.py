"""The span of a call to an inference server. Names of attributes: OpenTelemetry's semantic conventions, RPC spans."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

import grpc
import grpc.aio

from services.shared.errors import ServingError
from services.shared.model_ref import ModelRef
from services.shared.tracing.base import SpanKind, Value
from services.shared.tracing.span import inner_span

RPC: Mapping[str, Value] = {
    "rpc.system": "grpc",
    "rpc.service": "inference.GRPCInferenceService",
    "rpc.method": "ModelInfer",
}
NAME = f"{RPC['rpc.service']}/{RPC['rpc.method']}"


def server_attributes(url: str) -> Mapping[str, Value]:
    """Where the calls go, by the gRPC target; a target's scheme is of no interest."""
    target = url.rpartition("/")[2] if "://" in url else url.removeprefix("ipv4:").removeprefix("ipv6:")
    host, _, port = target.rpartition(":")
    return {"server.address": host, "server.port": int(port)} if host and port.isdecimal() else {"server.address": url}


@contextlib.contextmanager
def call_span(server: Mapping[str, Value], ref: ModelRef) -> Iterator[None]:
    """A part of the open span, in which the block makes one call."""
    with inner_span(NAME, SpanKind.CLIENT) as span:
        if span is not None:
            span.attributes.update(RPC)
            span.attributes.update(server)
            span.attributes.update({"grayscale.model": ref.name, "grayscale.version": ref.version})
        try:
            yield
        except ServingError as error:
            if span is not None and isinstance(error.__cause__, grpc.aio.AioRpcError):
                span.attributes["rpc.grpc.status_code"] = error.__cause__.code().value[0]
            raise
        if span is not None:
            span.attributes["rpc.grpc.status_code"] = 0
