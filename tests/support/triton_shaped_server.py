"""A server of the Open Inference Protocol that is not ours: worded as NVIDIA Triton, its models by FakeInference.

It has no load or unload of single versions; a load takes Triton's `config` override. The words are those of
triton-inference-server/core.
"""
# ruff: noqa: N802 - the generated servicer's methods bear the schema's names

from __future__ import annotations

import json
from collections.abc import Coroutine
from typing import Any

import grpc
import grpc.aio
import numpy as np
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc.service_pb2_grpc import (
    GRPCInferenceServiceServicer,
    add_GRPCInferenceServiceServicer_to_server,
)

from services.shared.errors import (
    DeadlineExceeded,
    InferenceFailed,
    InvalidInput,
    NotFound,
    NotReady,
    Overloaded,
    ServingError,
)
from services.shared.inference.fake import FakeInference
from services.shared.model_ref import ModelRef
from services.shared.priority import priority_from_level
from services.shared.tensors import Array, datatype_of, decode_raw, encode_raw

_STATUS: tuple[tuple[type[ServingError], grpc.StatusCode, str], ...] = (
    (NotFound, grpc.StatusCode.NOT_FOUND, "Request for unknown model: '{model}' is not found"),
    (NotReady, grpc.StatusCode.UNAVAILABLE, "Request for unknown model: '{model}' is not at ready state"),
    (Overloaded, grpc.StatusCode.UNAVAILABLE, "Exceeds maximum queue size"),
    (DeadlineExceeded, grpc.StatusCode.UNAVAILABLE, "Request timeout expired"),
    (InvalidInput, grpc.StatusCode.INVALID_ARGUMENT, "{detail}"),
    (InferenceFailed, grpc.StatusCode.INTERNAL, "{detail}"),
)


class TritonShapedServicer(GRPCInferenceServiceServicer):  # type: ignore[misc]
    """Delegates to a FakeInference. `requests` keeps every ModelInferRequest, `metadata` what came along with the last,
    `loads` the config override of every load (None without one). With `ignore_timeout` the parameter has no effect."""

    def __init__(self, fake: FakeInference) -> None:
        self.fake = fake
        self.requests: list[Any] = []
        self.metadata: dict[str, str] = {}
        self.loads: list[dict[str, Any] | None] = []
        self.ignore_timeout = False
        self.cancels = 0  # so many of the next inferences

    async def ServerReady(self, request: Any, context: Any) -> Any:
        return pb.ServerReadyResponse(ready=await self.fake.ready())

    async def ServerMetadata(self, request: Any, context: Any) -> Any:
        return pb.ServerMetadataResponse(name="triton", version="2.73.0", extensions=["classification", "statistics"])

    async def ModelReady(self, request: Any, context: Any) -> Any:
        return pb.ModelReadyResponse(ready=await self.fake.ready(_ref(request.name, request.version)))

    async def ModelMetadata(self, request: Any, context: Any) -> Any:
        ref = _ref(request.name, request.version)
        metadata = await _answer(context, request.name, self.fake.metadata(ref))
        response = pb.ModelMetadataResponse(name=ref.name, platform=metadata.platform)
        response.versions.extend(str(version) for version in metadata.versions)
        batch = [-1] if metadata.max_batch_size else []
        for tensors, specs in ((response.inputs, metadata.inputs), (response.outputs, metadata.outputs)):
            for spec in specs:
                tensors.add(name=spec.name, datatype=spec.datatype, shape=[*batch, *spec.shape])
        return response

    async def ModelConfig(self, request: Any, context: Any) -> Any:
        version = request.version or next(
            (str(e.version) for e in await self.fake.index() if e.name == request.name and e.state == "READY"), "1"
        )
        config = await _answer(context, request.name, self.fake.config(_ref(request.name, version)))
        return pb.ModelConfigResponse(config=config.message)

    async def ModelInfer(self, request: Any, context: Any) -> Any:
        self.requests.append(request)
        self.metadata = dict(context.invocation_metadata() or ())
        if self.cancels:
            self.cancels -= 1
            await context.abort(grpc.StatusCode.CANCELLED, "CANCELLED")
        ref = _ref(request.model_name, request.model_version)
        inputs = {
            each.name: decode_raw(request.raw_input_contents[index], each.datatype, each.shape)
            for index, each in enumerate(request.inputs)
        }
        timeout_us = request.parameters["timeout"].int64_param if "timeout" in request.parameters else 0
        level = request.parameters["priority"].uint64_param if "priority" in request.parameters else 0
        call = self.fake.infer(
            ref,
            inputs,
            timeout_s=None if self.ignore_timeout else timeout_us / 1e6 or None,
            priority=priority_from_level(level),
            outputs=[each.name for each in request.outputs] or None,
        )
        result = await _answer(context, request.model_name, call)
        response = pb.ModelInferResponse(model_name=ref.name, model_version=str(ref.version), id=request.id)
        classes = {each.name: each.parameters["classification"].int64_param for each in request.outputs}
        for name, array in result.outputs.items():
            if classes.get(name):
                array = _classified(array, classes[name], await self.fake.labels(ref))  # noqa: PLW2901
            response.outputs.add(name=name, datatype=datatype_of(array), shape=array.shape)
            response.raw_output_contents.append(encode_raw(array))
        return response

    async def ModelStatistics(self, request: Any, context: Any) -> Any:
        ref = _ref(request.name, request.version) if request.name else None
        response = pb.ModelStatisticsResponse()
        for each in await _answer(context, request.name, self.fake.statistics(ref)):
            message = response.model_stats.add(
                name=each.ref.name,
                version=str(each.ref.version),
                last_inference=each.last_inference_ms,
                inference_count=each.inference_count,
                execution_count=each.execution_count,
            )
            message.inference_stats.success.count = each.success.count
            message.inference_stats.fail.count = each.fail.count
        return response

    async def RepositoryIndex(self, request: Any, context: Any) -> Any:
        response = pb.RepositoryIndexResponse()
        for each in await self.fake.index():
            if each.state == "READY" or not request.ready:
                state = "" if each.reason == "unloaded" else each.state
                response.models.add(name=each.name, version=str(each.version), state=state, reason=each.reason)
        return response

    async def RepositoryModelLoad(self, request: Any, context: Any) -> Any:
        name = request.model_name
        if set(request.parameters) - {"config"}:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "unrecognized load parameter")
        config = json.loads(request.parameters["config"].string_param) if "config" in request.parameters else None
        self.loads.append(config)
        if name not in self.fake.models:
            await context.abort(
                grpc.StatusCode.INTERNAL, f"failed to load '{name}', failed to poll from model repository"
            )
        if config is None:
            await _answer(context, name, self.fake.load(name))
            return pb.RepositoryModelLoadResponse()
        policy = config["version_policy"]
        there = sorted(self.fake.models[name].versions)
        latest = there[-int(policy.get("latest", {}).get("num_versions", 1)) :]
        named = policy["specific"]["versions"] if "specific" in policy else latest
        wanted = {int(version) for version in named} & set(there)  # the others are passed over with a line in its log
        ready = {e.version or 0 for e in await self.fake.index() if e.name == name and e.state == "READY"}
        for version in sorted(wanted):
            await _answer(context, name, self.fake.load(name, version))
        for version in ready - wanted:
            await _answer(context, name, self.fake.unload(name, version))
        return pb.RepositoryModelLoadResponse()

    async def RepositoryModelUnload(self, request: Any, context: Any) -> Any:
        if set(request.parameters) - {"unload_dependents"}:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "unrecognized unload parameter")
        await _answer(context, request.model_name, self.fake.unload(request.model_name))
        return pb.RepositoryModelUnloadResponse()


async def start_server(servicer: TritonShapedServicer, address: str) -> tuple[grpc.aio.Server, str]:
    """A running server and the address that clients call; a port 0 is replaced by the one that was free."""
    server = grpc.aio.server()
    add_GRPCInferenceServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port(address)
    await server.start()
    return server, address if address.startswith("unix:") else f"{address.rpartition(':')[0]}:{port}"


def _ref(name: str, version: str) -> ModelRef:
    return ModelRef(name, int(version or 1))


async def _answer(context: Any, model: str, call: Coroutine[Any, Any, Any]) -> Any:
    try:
        return await call
    except ServingError as error:
        for kind, code, words in _STATUS:
            if isinstance(error, kind):
                await context.abort(code, words.format(model=model, detail=error.detail))
        raise


def _classified(array: Array, count: int, labels: tuple[str, ...]) -> Array:
    """Triton's `value:index:label`, best first."""
    rows = array.reshape(array.shape[0], -1)
    best = [np.argsort(-row, kind="stable")[:count] for row in rows]
    return np.array(
        [[f"{row[i]:.6f}:{i}:{labels[i]}".encode() for i in order] for row, order in zip(rows, best, strict=True)],
        dtype=object,
    )
