"""The same model behind every kind of InferenceClient."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from services.model_server.listeners import Addresses, Listeners
from services.shared.backends.base import LoadedModel, Placement
from services.shared.engine.engine import Engine
from services.shared.errors import NotFound
from services.shared.inference.base import InferenceClient
from services.shared.inference.fake import FakeInference, FakeModel
from services.shared.inference.local import LocalInference
from services.shared.inference.triton import TritonInference
from services.shared.model_config import ModelConfig
from services.shared.model_ref import ModelRef
from services.shared.oip.handler import ProtocolHandler
from services.shared.repository.base import Artifact
from services.shared.tensors import Tensors, TensorSpec
from tests.support.fake_models import LABELS, classifier, classify
from tests.support.triton_shaped_server import TritonShapedServicer, start_server

REF = ModelRef("pets", 1)


@dataclass(frozen=True, slots=True)
class Served:
    """A client, and how to make its model wait (`hold`) and go on (`release`)."""

    client: InferenceClient
    hold: Callable[[], None]
    release: Callable[[], None]


class PythonModel:
    """`classify` as a LoadedModel that waits while `gate` is shut."""

    concurrency = 1
    warnings: tuple[str, ...] = ()
    inline = False

    def __init__(self, config: ModelConfig, gate: threading.Event) -> None:
        self.inputs: tuple[TensorSpec, ...] = config.inputs
        self.outputs: tuple[TensorSpec, ...] = config.outputs
        self._gate = gate

    def run(self, inputs: Tensors, *, alone: bool = False) -> Tensors:
        assert self._gate.wait(30)
        return classify(inputs)

    def close(self) -> None:
        pass


class PythonBackend:
    name = "onnxruntime"

    def __init__(self, gate: threading.Event) -> None:
        self._gate = gate

    def load(self, path: Path, config: ModelConfig, placement: Placement) -> LoadedModel:
        return PythonModel(config, self._gate)


class OneModelRepository:
    """A ModelRepository with one model, and a directory whose config cannot be read."""

    def __init__(self, model: FakeModel) -> None:
        self._model = model

    def names(self) -> tuple[str, ...]:
        return ("broken", self._model.config.name)

    def versions(self, name: str) -> tuple[int, ...]:
        self.config(name)
        return tuple(sorted(self._model.versions))

    def config(self, name: str) -> ModelConfig:
        if name != self._model.config.name:
            raise NotFound(f"{name}: no config.pbtxt")
        return self._model.config

    def labels(self, name: str, filename: str) -> tuple[str, ...]:
        return LABELS

    def artifact(self, ref: ModelRef) -> Artifact:
        if ref.version not in self.versions(ref.name):
            raise NotFound(f"{ref} is not there")
        return Artifact(ref, Path(ref.name, str(ref.version), "model.onnx"), "")


class EngineControl:
    """A ModelControl for a fleet of one."""

    def __init__(self, engine: Engine, repository: OneModelRepository) -> None:
        self._engine = engine
        self._repository = repository

    async def load(self, name: str, version: int | None = None) -> None:
        policy = self._repository.config(name).version_policy
        versions = policy.select(self._repository.versions(name)) if version is None else (version,)
        for each in versions:
            await self._engine.load(ModelRef(name, each))

    async def unload(self, name: str, version: int | None = None) -> None:
        refs = [ref for ref in self._engine.states() if ref.name == name and version in (None, ref.version)]
        if not refs:
            raise NotFound(f"{name} is not loaded")
        for ref in refs:
            await self._engine.unload(ref)

    async def promote(self, name: str, ref: ModelRef) -> None:
        raise NotImplementedError


@asynccontextmanager
async def serve_fake(socket: str) -> AsyncIterator[Served]:
    fake = FakeInference([classifier()])
    yield Served(fake, *_gate_of(fake))
    await fake.close()


@asynccontextmanager
async def serve_triton(socket: str) -> AsyncIterator[Served]:
    fake = FakeInference([classifier()])
    server, address = await start_server(TritonShapedServicer(fake), socket)
    client = TritonInference(address)
    yield Served(client, *_gate_of(fake))
    await client.close()
    await server.stop(0)


@asynccontextmanager
async def serve_model_server(socket: str) -> AsyncIterator[Served]:
    fake = FakeInference([classifier()])

    async def resolve(name: str, version: int | None) -> ModelRef:
        if name not in fake.models:
            raise NotFound(f"unknown model {name!r}")
        return ModelRef(name, version or 1)

    handler = ProtocolHandler(fake, resolve=resolve, server_version="1.2.3")
    listeners = Listeners(handler, bytes, max_message_bytes=2**24)
    addresses = await listeners.start(Addresses("127.0.0.1", 0, 0, 0))
    client = TritonInference(f"127.0.0.1:{addresses.grpc}")
    yield Served(client, *_gate_of(fake))
    await client.close()
    await listeners.stop(1.0)


@asynccontextmanager
async def serve_local(socket: str) -> AsyncIterator[Served]:
    gate = threading.Event()
    gate.set()
    repository = OneModelRepository(classifier())
    engine = Engine(repository, {"onnxruntime": PythonBackend(gate)}, placement=Placement(cores=1))
    client = LocalInference(engine, repository, EngineControl(engine, repository))
    await client.load(REF.name)
    yield Served(client, gate.clear, gate.set)
    gate.set()
    await client.close()
    await engine.close(5.0)


def _gate_of(fake: FakeInference) -> tuple[Callable[[], None], Callable[[], None]]:
    gate = asyncio.Event()
    gate.set()
    fake.script(REF).gate = gate
    return gate.clear, gate.set
