"""The protocol's operations over an InferenceClient. Both transports call this and it imports neither."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Protocol

from services.shared.errors import DeadlineExceeded, InvalidInput, NotFound, ServingError, Unsupported
from services.shared.inference.base import IndexEntry, InferenceClient, InferResult, ModelMetadata, ModelStatistics
from services.shared.model_config import ModelConfig
from services.shared.model_ref import ModelRef, parse_version
from services.shared.oip.base import (
    EXTENSIONS,
    InferRequest,
    InferResponse,
    OutputTensor,
    Parameters,
    Released,
    ReleasedRuns,
    ReleaseTerms,
    RequestedOutput,
    Resolve,
    ServerMetadata,
)
from services.shared.oip.classification import classify
from services.shared.priority import Priority, priority_from_level
from services.shared.tensors import BYTES, Tensors, datatype_of


class Loads(Protocol):
    """Who loads and unloads: the client itself, or who also keeps in mind what it did."""

    async def load(self, name: str, version: int | None = None) -> None: ...

    async def unload(self, name: str, version: int | None = None) -> None: ...


class ProtocolHandler:
    """Every method raises only ServingError, and CancelledError when its caller is cancelled."""

    def __init__(
        self,
        client: InferenceClient,
        *,
        resolve: Resolve,
        server_name: str = "grayscale",
        server_version: str,
        extensions: Sequence[str] = EXTENSIONS,
        is_ready: Callable[[], Awaitable[bool]] | None = None,
        releases: ReleasedRuns | None = None,
        loads: Loads | None = None,
    ) -> None:
        """`is_ready` tells whether the server as a whole should get traffic; by default the client's own word.
        `loads` loads and unloads; by default the client.

        `releases` chooses who answers an inference. Everything else about a name without a version, and without
        `releases` inferences too, is of the version that `resolve` gives: what a model takes and gives does not change
        from one question to the next.
        """
        self._client, self._releases = client, releases
        self._is_ready = is_ready or client.ready
        self._loads: Loads = loads or client
        self._resolve = resolve
        self._server = ServerMetadata(server_name, server_version, tuple(extensions))
        self._exiting = False

    @property
    def exiting(self) -> bool:
        return self._exiting

    def exit(self) -> None:
        """From now on not ready, whatever the models say; requests are still answered."""
        self._exiting = True

    async def ready(self) -> bool:
        return not self._exiting and await self._is_ready()

    async def model_ready(self, name: str, version: int | None) -> bool:
        """Whether a version can answer; False for one that is not there."""
        try:
            return not self._exiting and await self._client.ready(await self._resolve(name, version))
        except ServingError:
            return False

    async def knows(self, name: str, version: int | None) -> bool:
        """Whether a name, or a version of it, is there to be asked for."""
        try:
            await self._resolve(name, version)
        except ServingError:
            return False
        return True

    def server_metadata(self) -> ServerMetadata:
        return self._server

    async def model_metadata(self, name: str, version: int | None) -> ModelMetadata:
        with _unknown_model(name, version):
            return await self._client.metadata(await self._resolve(name, version))

    async def model_config(self, name: str, version: int | None) -> ModelConfig:
        with _unknown_model(name, version):
            return await self._client.config(await self._resolve(name, version))

    async def statistics(self, name: str | None, version: int | None) -> tuple[ModelStatistics, ...]:
        """Of one version, of every loaded version of a model (version None), or of all (name None).

        A name of which nothing is loaded itself means the version that answers for it.
        """
        if name is None:
            return await self._client.statistics()
        if version is None:
            own = tuple(each for each in await self._client.statistics() if each.ref.name == name)
            if own:
                return own
        with _unknown_model(name, version):
            return await self._client.statistics(await self._resolve(name, version))

    async def infer(
        self, request: InferRequest, *, timeout_s: float | None = None, terms: ReleaseTerms | None = None
    ) -> InferResponse:
        """Runs a request; `timeout_s` is the transport's own deadline, beside the request's `timeout` parameter, and
        `terms` what it knows for `releases`."""
        priority, timeout_s = _scheduling(request.parameters, timeout_s)
        names = _requested_names(request.outputs)

        def call(ref: ModelRef) -> Awaitable[InferResult]:
            return self._client.infer(ref, request.inputs, timeout_s=timeout_s, priority=priority, outputs=names)

        with _unknown_model(request.model, request.version):
            if self._releases is None:
                ref = await self._resolve(request.model, request.version)
                released = Released(ref, "", await call(ref))
            else:
                released = await self._releases.run(request, terms or ReleaseTerms(), call)
        ref, given, requested = released.ref, released.result.outputs, request.outputs
        if requested is None:
            requested = tuple(RequestedOutput(name) for name in given)
        outputs, times = await self._outputs(ref, requested, given), released.result
        return InferResponse(ref, request.id, outputs, released.arm, times.queue_s, times.infer_s)

    async def index(self, *, ready_only: bool) -> tuple[IndexEntry, ...]:
        entries = await self._client.index()
        return tuple(e for e in entries if e.state == "READY") if ready_only else entries

    async def load(self, name: str, parameters: Mapping[str, object]) -> None:
        """Loads what the version policy says, or with our `parameters.version` that version alone.

        Raises Unsupported for a config or files inside the request.
        """
        for key in parameters:
            if key == "config" or key.startswith("file:"):
                raise Unsupported(
                    f"parameters.{key[:64]}: a load request cannot carry a config or files here: "
                    "publish them in the model repository, then load the model",
                    field="parameters",
                )
        await self._loads.load(name, _version_parameter(parameters, accepted=("version",)))

    async def unload(self, name: str, parameters: Mapping[str, object]) -> None:
        """Unloads a model, or with our `parameters.version` that version alone.

        `unload_dependents` changes nothing: there are no ensembles, so no model depends on another.
        """
        version = _version_parameter(parameters, accepted=("version", "unload_dependents"))
        if not isinstance(parameters.get("unload_dependents", False), bool):
            raise InvalidInput("parameters.unload_dependents must be true or false", field="parameters")
        await self._loads.unload(name, version)

    async def _outputs(
        self, ref: ModelRef, requested: Sequence[RequestedOutput], outputs: Tensors
    ) -> tuple[OutputTensor, ...]:
        config = await self._client.config(ref) if any(each.classification for each in requested) else None
        answer = []
        for each in requested:
            if each.name not in outputs:
                raise InvalidInput(f"unexpected inference output '{each.name}' for model '{ref.name}'", field="outputs")
            array = outputs[each.name]
            if config is None or not each.classification:
                answer.append(OutputTensor(each.name, datatype_of(array), array))
                continue
            # `labels` are those of the first labelled output; another output's classes stay without.
            labelled = each.name == next(iter(config.label_files), None)
            labels = await self._client.labels(ref) if labelled else ()
            batched = config.max_batch_size > 0
            classes = classify(array, each.classification, labels, batched=batched, name=each.name)
            answer.append(OutputTensor(each.name, BYTES, classes))
        return tuple(answer)


@contextlib.contextmanager
def _unknown_model(name: str, version: int | None) -> Iterator[None]:
    """Says in Triton's words that there is no such model or version, whoever found out."""
    try:
        yield
    except NotFound as error:
        shown = name[:128]
        which = f"'{shown}'" if version is None else f"'{shown}' version {version}"
        raise NotFound(f"Request for unknown model: {which} is not found", field="model") from error


def _requested_names(outputs: Sequence[RequestedOutput] | None) -> tuple[str, ...] | None:
    if outputs is None:
        return None
    names = tuple(each.name for each in outputs)
    if len(set(names)) != len(names):
        raise InvalidInput("outputs names the same output twice", field="outputs")
    return names


def _scheduling(parameters: Parameters, timeout_s: float | None) -> tuple[Priority, float | None]:
    """Priority and seconds left, from the request's parameters and the transport's deadline; the nearer one counts."""
    for key in parameters:
        if key.startswith("triton_"):
            raise InvalidInput(f"parameter {key[:64]!r}: the prefix 'triton_' is reserved", field="parameters")
    timeout_us = _whole(parameters, "timeout")
    limits = [each for each in (timeout_s, timeout_us / 1e6 if timeout_us else None) if each is not None]
    if limits and min(limits) <= 0:
        raise DeadlineExceeded("Request timeout expired")
    return priority_from_level(_whole(parameters, "priority")), min(limits, default=None)


def _whole(parameters: Mapping[str, object], key: str) -> int:
    value = parameters.get(key, 0)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise InvalidInput(f"parameter {key!r} must be a whole number from 0", field=f"parameters.{key}")
    return value


def _version_parameter(parameters: Mapping[str, object], *, accepted: Sequence[str]) -> int | None:
    unknown = sorted(set(parameters) - set(accepted))
    if unknown:
        raise InvalidInput(f"parameter {unknown[0][:64]!r} is unknown: use {' or '.join(accepted)}", field="parameters")
    version = parameters.get("version")
    return None if version is None else parse_version(str(version))
