"""What several deployables wire alike: models served by this process, or by a server elsewhere."""

from __future__ import annotations

import abc
import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from services.shared.backends.base import Backend, Placement
from services.shared.backends.onnx_runtime import OnnxRuntimeBackend
from services.shared.backends.tensorrt import TensorRtBackend
from services.shared.blobs.base import BlobStore
from services.shared.blobs.settings import BlobSettings
from services.shared.clock import SystemClock
from services.shared.engine.engine import Engine
from services.shared.engine.load_guard import TRIAL_TIMEOUT_S, LoadGuard
from services.shared.engine.reconciler import Reconciler
from services.shared.engine.trial_guard import TrialGuard, TrialSettings
from services.shared.fleet.base import NEVER, FleetStore, ModelControl
from services.shared.fleet.control import FleetControl
from services.shared.fleet.file import FileFleetStore
from services.shared.fleet.follower import FleetFollower, seed
from services.shared.fleet.routing_beats import RoutingBeats
from services.shared.inference.base import InferenceClient
from services.shared.inference.local import LocalInference
from services.shared.inference.readiness import Readiness
from services.shared.inference.remote_control import RemoteControl
from services.shared.model_ref import ModelRef
from services.shared.repository.disk import DiskRepository
from services.shared.telemetry.base import ModelMetrics
from services.shared.tracing.base import TraceContext
from services.shared.tracing.settings import TracingSettings
from services.shared.tracing.span import Tracer


@dataclass(frozen=True, slots=True)
class ServingSettings:
    """Where models lie, where state is kept, and how many CPU cores this process's models share. `routes`: the process
    has a Router, and so is one of those that must have followed before a release goes on. `trial_timeout_s`: how long a
    new version may be tried in a process of its own before this one loads it; 0: it is not tried."""

    models_dir: Path
    data_dir: Path
    cores: int
    process_id: str
    routes: bool = True
    trial_timeout_s: float = TRIAL_TIMEOUT_S


def new_process_id(kind: str) -> str:
    """A name for this incarnation of a process, never used again."""
    return f"{kind}-{os.getpid()}-{os.urandom(4).hex()}"


def local_backends(data_dir: Path) -> dict[str, Backend]:
    """What runs models on this machine, by the name that a config gives it."""
    onnx = OnnxRuntimeBackend(data_dir / "onnxruntime")
    tensorrt = TensorRtBackend(fallback=onnx, cache_dir=data_dir / "tensorrt")
    return {backend.name: backend for backend in (onnx, tensorrt)}


class Serving(abc.ABC):
    """Models behind one InferenceClient, with the names that the public knows them by.

    `start` returns once it serves what it can; `readiness` says what is still missing. `routing_revision` is for the
    process to set that follows a release store: what its heartbeats say, NEVER until then.
    """

    client: InferenceClient
    control: ModelControl
    follower: FleetFollower
    readiness: Readiness
    routing_revision: Callable[[], int]

    @abc.abstractmethod
    async def start(self) -> None: ...

    @abc.abstractmethod
    async def close(self, drain_s: float) -> None: ...

    def metrics(self) -> Mapping[ModelRef, ModelMetrics]:
        """What the engine in this process has counted; empty when there is none."""
        return {}

    def version_states(self) -> Sequence[str]:
        """The state of every version that this process has, or should have: see RefReport."""
        return ()

    def lacks(self, ref: ModelRef) -> bool:
        """Whether models are loaded by this process itself, and this version is not, or not yet."""
        return False

    async def resolve(self, name: str, version: int | None) -> ModelRef:
        """What answers for a name; raises NotFound."""
        return self.follower.resolve(name, version)


class LocalServing(Serving):
    """The engine in this process, kept equal to the desired set."""

    def __init__(self, settings: ServingSettings) -> None:
        clock = SystemClock()
        self.routing_revision = lambda: NEVER
        self._store: FleetStore = FileFleetStore(settings.data_dir / "fleet")
        self._repository = DiskRepository(settings.models_dir)
        self._engine = Engine(
            self._repository,
            local_backends(settings.data_dir),
            placement=Placement(settings.cores, wide_cores=len(os.sched_getaffinity(0))),
            clock=clock,
        )
        self.follower = FleetFollower(self._store)
        self.control = FleetControl(self._store, self._repository)
        self._reconciler = Reconciler(
            self._engine,
            self._store,
            self.follower,
            process_id=settings.process_id,
            clock=clock,
            routing_revision=lambda: self.routing_revision() if settings.routes else None,
            guard=_guard(settings),
        )
        self.client = LocalInference(self._engine, self._repository, self.control)
        self.readiness = Readiness(self.client, lambda: self.follower.current.defaults)

    async def start(self) -> None:
        await seed(self._store, self._repository)
        await self.follower.refresh()
        self._reconciler.start()

    async def close(self, drain_s: float) -> None:
        await self._reconciler.close()
        await self._engine.close(drain_s)

    def lacks(self, ref: ModelRef) -> bool:
        return not self._engine.answers(ref)

    def metrics(self) -> Mapping[ModelRef, ModelMetrics]:
        return self._engine.metrics()

    def version_states(self) -> Sequence[str]:
        return [report.state for report in self._reconciler.reports.values()]


def _guard(settings: ServingSettings) -> LoadGuard | None:
    if not settings.trial_timeout_s:
        return None
    trials = TrialSettings(settings.models_dir, settings.data_dir, settings.process_id, settings.trial_timeout_s)
    return TrialGuard(trials, SystemClock())


@dataclass(frozen=True, slots=True)
class RemoteSettings:
    """A model server: its gRPC address, the key that it asks for, and (for TLS) a file of certificates to trust.
    `untraced` is what calls say that belong to no trace."""

    url: str
    key: str = ""
    ca: Path | None = None
    untraced: TraceContext | None = None


class RemoteServing(Serving):
    """A model server elsewhere: ours, or any that speaks the protocol. The store keeps what names mean."""

    def __init__(self, settings: ServingSettings, remote: RemoteSettings) -> None:
        # gRPC takes 40 ms and 10 MB, which a process with its own models does without.
        from services.shared.inference.triton import TritonInference
        from services.shared.inference.triton.channel import Tls

        store: FleetStore = FileFleetStore(settings.data_dir / "fleet")
        self.follower = FleetFollower(store)
        tls = Tls(remote.ca.read_bytes()) if remote.ca else None
        client = TritonInference(remote.url, api_key=remote.key or None, tls=tls, untraced=remote.untraced)
        self.client = client
        self._control = RemoteControl(client, store, bring_back=client.bring_back)
        self.control = self._control
        self.readiness = Readiness(self.client, lambda: self.follower.current.defaults)
        self.routing_revision = lambda: NEVER
        self._beats = RoutingBeats(
            store,
            self.follower,
            process_id=settings.process_id,
            ready=lambda: self._control.ready,
            routing_revision=lambda: self.routing_revision() if settings.routes else None,
            clock=SystemClock(),
        )
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        await self.follower.refresh()
        self._tasks = [
            asyncio.create_task(self.follower.run(), name="fleet follower"),
            asyncio.create_task(self._control.run(), name="remote defaults"),
            asyncio.create_task(self._beats.run(), name="routing beats"),
        ]

    async def close(self, drain_s: float) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.client.close()


def tracer_of(settings: TracingSettings, *, service: str, instance: str) -> Tracer | None:
    """What begins this process's spans; None where tracing is off, and then nothing of it is imported. To be called in
    the process that traces."""
    if settings.endpoint is None:
        return None
    from services.shared.tracing.otlp import OtlpSpans

    return Tracer(OtlpSpans(settings.endpoint, service=service, instance=instance))


def blob_store(settings: BlobSettings) -> BlobStore:
    """Where the images of jobs lie."""
    if not settings.bucket:
        from services.shared.blobs.disk import DiskBlobStore

        return DiskBlobStore(settings.directory, reserve_bytes=settings.reserve_bytes)
    from services.shared.blobs.obstore import Bucket, ObstoreBlobStore

    settings.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    return ObstoreBlobStore(Bucket(settings.bucket, settings.prefix), spool_dir=settings.directory)
