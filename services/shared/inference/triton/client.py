"""The client: an InferenceClient over the channel, with joined calls and briefly kept configs and labels.

It calls the stub that tritonclient generated from the protocol's schema, not tritonclient's InferenceServerClient: that
one copies every tensor several times and turns every failure into one class of error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from tritonclient.grpc import service_pb2

from services.shared.clock import Clock, SystemClock
from services.shared.config_pbtxt import config_from_message
from services.shared.errors import InferenceFailed, InvalidInput, NotFound, NotReady, ServingError
from services.shared.inference.base import (
    BriefRuns,
    IndexEntry,
    InferResult,
    ModelMetadata,
    ModelStatistics,
    Waiter,
)
from services.shared.inference.brief_cache import BriefCache
from services.shared.inference.merge import MAX_IN_FLIGHT, MergedCalls
from services.shared.inference.readiness import probe_inputs
from services.shared.inference.triton.call_span import call_span, server_attributes
from services.shared.inference.triton.channel import MAX_MESSAGE_BYTES, Tls, TritonChannel
from services.shared.inference.triton.load import TritonLoader
from services.shared.inference.triton.wire import (
    class_count,
    class_labels,
    index_entries,
    infer_request,
    infer_result,
    model_metadata,
    model_statistics,
)
from services.shared.model_config import ModelConfig
from services.shared.model_ref import ModelRef
from services.shared.priority import Priority
from services.shared.tensors import Tensors
from services.shared.tracing.base import TraceContext
from services.shared.tracing.span import carried_context, open_span

CONFIG_TTL_S = 2.0  # so soon a reload that another client asked for is seen
LABELS_TTL_S = 10.0  # labels cost an inference
READY_TIMEOUT_S = 2.0
CALL_TIMEOUT_S = 5.0
BRIEF_TIMEOUT_S = 60.0
# Of a turn's requests so many begin together: one large call would leave the server idle while its answers are written.
BRIEF_ROWS = 16
LOAD_TIMEOUT_S = 330.0  # our server answers a load when its whole fleet has done it, within 300 s


class TritonInference:
    """An InferenceClient over gRPC.

    `url` is a gRPC target: `host:port`, `unix:/path` or `dns:///host:port`, whose addresses are called in turn.
    `api_key` goes along as a bearer key. While the server is away calls raise NotReady at once; when it is back they
    work by themselves. At most `max_in_flight` calls run per model and kind of request; what arrives meanwhile is
    joined when the model's config has dynamic batching. What is traced goes alone: its call is a part of its trace.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        tls: Tls | None = None,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
        max_in_flight: int = MAX_IN_FLIGHT,
        load_timeout_s: float = LOAD_TIMEOUT_S,
        clock: Clock | None = None,
        untraced: TraceContext | None = None,
    ) -> None:
        clock = clock or SystemClock()
        self._channel = TritonChannel(
            url, api_key=api_key, tls=tls, max_message_bytes=max_message_bytes, untraced=untraced
        )
        self._address = server_attributes(url)
        self._loader = TritonLoader(self._channel, timeout_s=load_timeout_s)
        self._merged = MergedCalls(self._send, max_in_flight=max_in_flight)
        self.brief: BriefRuns | None = self
        self._configs = BriefCache(self._fetch_config, ttl_s=CONFIG_TTL_S, clock=clock)
        self._labels = BriefCache(self._fetch_labels, ttl_s=LABELS_TTL_S, clock=clock)

    async def infer(
        self,
        ref: ModelRef,
        inputs: Tensors,
        *,
        timeout_s: float | None = None,
        priority: Priority = Priority.NORMAL,
        outputs: Sequence[str] | None = None,
    ) -> InferResult:
        try:
            if open_span() is None:
                return await self._merged.infer(
                    ref, inputs, max_rows=self._max_rows(ref), timeout_s=timeout_s, priority=priority, outputs=outputs
                )
            with call_span(self._address, ref):
                return await self._send(ref, inputs, timeout_s=timeout_s, priority=priority, outputs=outputs)
        except (NotFound, NotReady):
            self._labels.forget(ref.name)  # it may come back as something else
            raise

    def brief_size(self, ref: ModelRef) -> int:
        """Requests that may share calls need no task of their own."""
        rows = self._max_rows(ref)
        return min(rows, BRIEF_ROWS) if rows > 1 else 0

    def begin(self, ref: ModelRef, inputs: Tensors, waiter: Waiter, arrived_s: Sequence[float]) -> Callable[[], None]:
        return self._merged.begin(ref, inputs, waiter, max_rows=self._max_rows(ref), timeout_s=BRIEF_TIMEOUT_S)

    async def ready(self, ref: ModelRef | None = None) -> bool:
        try:
            if ref is None:
                method, request = self._channel.stub.ServerReady, service_pb2.ServerReadyRequest()
            else:
                method = self._channel.stub.ModelReady
                request = service_pb2.ModelReadyRequest(name=ref.name, version=str(ref.version))
            return bool((await self._channel.call(method, request, timeout_s=READY_TIMEOUT_S)).ready)
        except ServingError:
            return False

    async def metadata(self, ref: ModelRef) -> ModelMetadata:
        config = await self._configs.get(ref)
        request = service_pb2.ModelMetadataRequest(name=ref.name, version=str(ref.version))
        response = await self._channel.call(self._channel.stub.ModelMetadata, request, timeout_s=CALL_TIMEOUT_S)
        return model_metadata(ref, response, config)

    async def config(self, ref: ModelRef) -> ModelConfig:
        return await self._configs.get(ref)

    async def labels(self, ref: ModelRef) -> tuple[str, ...]:
        """Learnt by one inference on zeros with the classification extension, which every Triton has."""
        return await self._labels.get(ref)

    async def index(self) -> tuple[IndexEntry, ...]:
        request = service_pb2.RepositoryIndexRequest()
        response = await self._channel.call(self._channel.stub.RepositoryIndex, request, timeout_s=CALL_TIMEOUT_S)
        return index_entries(response)

    async def statistics(self, ref: ModelRef | None = None) -> tuple[ModelStatistics, ...]:
        request = service_pb2.ModelStatisticsRequest()
        if ref is not None:
            request.name, request.version = ref.name, str(ref.version)
        response = await self._channel.call(self._channel.stub.ModelStatistics, request, timeout_s=CALL_TIMEOUT_S)
        return tuple(sorted(model_statistics(response), key=lambda each: each.ref))

    async def load(self, name: str, version: int | None = None) -> None:
        try:
            await self._loader.load(name, version)
        finally:
            self._forget(name)

    async def unload(self, name: str, version: int | None = None) -> None:
        try:
            await self._loader.unload(name, version)
        finally:
            self._forget(name)

    async def bring_back(self, name: str, versions: Iterable[int]) -> None:
        """Loads what is missing of these on a server that does not follow our desired set; else does nothing."""
        try:
            await self._loader.bring_back(name, versions)
        finally:
            self._forget(name)

    async def close(self) -> None:
        await self._merged.close()
        await self._labels.close()
        await self._configs.close()
        await self._channel.close()

    async def _send(
        self,
        ref: ModelRef,
        inputs: Tensors,
        *,
        timeout_s: float | None,
        priority: Priority,
        outputs: Sequence[str] | None,
    ) -> InferResult:
        request = infer_request(ref, inputs, timeout_s=timeout_s, priority=priority, outputs=outputs)
        return infer_result(await self._channel.infer(request, timeout_s=timeout_s, trace=carried_context()))

    def _max_rows(self, ref: ModelRef) -> int:
        """How many rows may share a call: none before the config is known, so that no request waits for it."""
        config = self._configs.latest(ref)
        return config.max_batch_size if config is not None and config.batching is not None else 0

    async def _fetch_config(self, ref: ModelRef) -> ModelConfig:
        request = service_pb2.ModelConfigRequest(name=ref.name, version=str(ref.version))
        response = await self._channel.call(self._channel.stub.ModelConfig, request, timeout_s=CALL_TIMEOUT_S)
        try:
            return config_from_message(response.config, name=ref.name)
        except InvalidInput as error:  # not the caller's fault
            raise InferenceFailed(f"the server's config of {ref} cannot be used: {error.detail}") from error

    async def _fetch_labels(self, ref: ModelRef) -> tuple[str, ...]:
        config = await self._configs.get(ref)
        labelled = [spec for spec in config.outputs if spec.name in config.label_files]
        if not labelled:
            return ()
        output = labelled[0]
        request = infer_request(ref, probe_inputs(config), outputs=[output.name], classification=class_count(output))
        result = infer_result(await self._channel.infer(request, timeout_s=CALL_TIMEOUT_S))
        if output.name not in result.outputs:
            raise InferenceFailed(f"the server did not classify output {output.name!r} of {ref}")
        return class_labels(result.outputs[output.name])

    def _forget(self, name: str) -> None:
        self._configs.forget(name)
        self._labels.forget(name)
