"""The in-memory twin of an inference server: models are Python functions, delays and failures are scripted."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from services.shared.clock import Clock, SystemClock
from services.shared.errors import DeadlineExceeded, InvalidInput, NotFound, NotReady, ServingError
from services.shared.inference.base import BriefRuns, IndexEntry, InferResult, ModelMetadata, ModelStatistics
from services.shared.model_config import ModelConfig
from services.shared.model_ref import ModelRef
from services.shared.priority import Priority
from services.shared.tensors import Tensors, datatype_of

Compute = Callable[[Tensors], Tensors]


@dataclass(frozen=True, slots=True)
class FakeModel:
    """A model of the fake's repository; `versions` maps each version to the function that computes its outputs."""

    config: ModelConfig
    versions: Mapping[int, Compute]
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FakeCall:
    """An `infer` call as it arrived."""

    ref: ModelRef
    inputs: Tensors
    timeout_s: float | None
    priority: Priority
    outputs: tuple[str, ...] | None


@dataclass(slots=True)
class Script:
    """What happens to calls: `gate` (when set) is awaited first, then `latency_s`, then one of `failures` is raised.

    `load_failure` is raised by every `load` until it is taken away.
    """

    gate: asyncio.Event | None = None
    latency_s: float = 0.0
    failures: deque[ServingError] = field(default_factory=deque)
    load_failure: ServingError | None = None


@dataclass(slots=True)
class _Loaded:
    """A version in memory; `idle` is set while nothing runs."""

    statistics: ModelStatistics
    state: str = "READY"
    running: int = 0
    idle: asyncio.Event = field(default_factory=asyncio.Event)

    def enter(self) -> None:
        self.running += 1
        self.idle.clear()

    def leave(self) -> None:
        self.running -= 1
        if not self.running:
            self.idle.set()


class FakeInference:
    """An InferenceClient. At the start each model has loaded what its version policy says.

    `script(ref)` sets delays and failures; `calls` lists every call, `cancelled` those cancelled before their answer.
    """

    brief: BriefRuns | None = None

    def __init__(self, models: Iterable[FakeModel] = (), *, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self.models = {model.config.name: model for model in models}
        self.calls: list[FakeCall] = []
        self.cancelled: list[FakeCall] = []
        self._scripts: dict[ModelRef, Script] = {}
        self._loaded: dict[ModelRef, _Loaded] = {}
        self._closed = False
        for name in self.models:
            for ref in self._selected(name):
                self._load(ref)

    def add(self, model: FakeModel) -> None:
        """Publishes a model, or another set of its versions; loads nothing."""
        self.models[model.config.name] = model

    def script(self, ref: ModelRef) -> Script:
        """The script of one version, to be changed in place."""
        return self._scripts.setdefault(ref, Script())

    async def infer(
        self,
        ref: ModelRef,
        inputs: Tensors,
        *,
        timeout_s: float | None = None,
        priority: Priority = Priority.NORMAL,
        outputs: Sequence[str] | None = None,
    ) -> InferResult:
        call = FakeCall(ref, dict(inputs), timeout_s, priority, None if outputs is None else tuple(outputs))
        self.calls.append(call)
        model, loaded = self._ready_model(ref)
        _check_call(model.config, call)
        loaded.enter()
        try:
            async with asyncio.timeout(timeout_s):
                await self._follow(self.script(ref))
            results = model.versions[ref.version](call.inputs)
        except TimeoutError:
            loaded.statistics.fail.add(0)
            raise DeadlineExceeded(f"{ref} did not answer within {timeout_s} s") from None
        except asyncio.CancelledError:
            self.cancelled.append(call)
            raise
        except ServingError:
            loaded.statistics.fail.add(0)
            raise
        finally:
            loaded.leave()
        _count(loaded.statistics, model.config, call, now=self._clock.now())
        return InferResult({name: results[name] for name in call.outputs or results})

    async def ready(self, ref: ModelRef | None = None) -> bool:
        if ref is None:
            return not self._closed and bool(self._ready_refs())
        return not self._closed and ref in self._ready_refs()

    async def metadata(self, ref: ModelRef) -> ModelMetadata:
        config = self._ready_model(ref)[0].config
        versions = tuple(each.version for each in self._ready_refs() if each.name == ref.name)
        return ModelMetadata(ref, config.platform, versions, config.inputs, config.outputs, config.max_batch_size)

    async def config(self, ref: ModelRef) -> ModelConfig:
        return self._ready_model(ref)[0].config

    async def labels(self, ref: ModelRef) -> tuple[str, ...]:
        return self._ready_model(ref)[0].labels

    async def index(self) -> tuple[IndexEntry, ...]:
        return tuple(
            IndexEntry(name, version, *self._state(ModelRef(name, version)))
            for name, model in sorted(self.models.items())
            for version in sorted(model.versions)
        )

    async def statistics(self, ref: ModelRef | None = None) -> tuple[ModelStatistics, ...]:
        if ref is None:
            return tuple(self._loaded[each].statistics for each in sorted(self._loaded))
        return (self._ready_model(ref)[1].statistics,)

    async def load(self, name: str, version: int | None = None) -> None:
        for ref in self._selected(name) if version is None else (self._known(ModelRef(name, version)),):
            failure = self.script(ref).load_failure
            if failure is not None:
                raise failure
            self._load(ref)

    async def unload(self, name: str, version: int | None = None) -> None:
        refs = [ref for ref in self._ready_refs() if ref.name == name and version in (None, ref.version)]
        if not refs:
            raise NotFound(f"{name!r} version {version or 'any'} is not loaded")
        for ref in refs:
            self._loaded[ref].state = "UNLOADING"
        for ref in refs:
            await self._loaded[ref].idle.wait()
            del self._loaded[ref]

    async def close(self) -> None:
        self._closed = True

    def _selected(self, name: str) -> tuple[ModelRef, ...]:
        if name not in self.models:
            raise NotFound(f"unknown model {name!r}")
        model = self.models[name]
        return tuple(ModelRef(name, v) for v in model.config.version_policy.select(tuple(model.versions)))

    def _load(self, ref: ModelRef) -> None:
        self._loaded[ref] = _Loaded(ModelStatistics(ref))
        self._loaded[ref].idle.set()

    def _ready_refs(self) -> list[ModelRef]:
        return sorted(ref for ref, loaded in self._loaded.items() if loaded.state == "READY")

    def _known(self, ref: ModelRef) -> ModelRef:
        if ref.name not in self.models or ref.version not in self.models[ref.name].versions:
            raise NotFound(f"unknown model {ref}")
        return ref

    def _state(self, ref: ModelRef) -> tuple[str, str]:
        return (self._loaded[ref].state, "") if ref in self._loaded else ("UNAVAILABLE", "unloaded")

    def _ready_model(self, ref: ModelRef) -> tuple[FakeModel, _Loaded]:
        if self._closed:
            raise NotReady("the client is closed")
        self._known(ref)
        if ref not in self._ready_refs():
            raise NotReady(f"{ref} is not loaded", retry_after_s=1.0)
        return self.models[ref.name], self._loaded[ref]

    async def _follow(self, script: Script) -> None:
        if script.gate is not None:
            await script.gate.wait()
        if script.latency_s:
            await asyncio.sleep(script.latency_s)
        if script.failures:
            raise script.failures.popleft()


def _count(statistics: ModelStatistics, config: ModelConfig, call: FakeCall, *, now: float) -> None:
    statistics.last_inference_ms = int(now * 1000)
    rows = next(iter(call.inputs.values())).shape[0] if config.max_batch_size else 1
    statistics.inference_count += rows
    statistics.execution_count += 1
    statistics.success.add(0)


def _check_call(config: ModelConfig, call: FakeCall) -> None:
    """Raises InvalidInput unless the inputs and the output names are the model's."""
    specs = {spec.name: spec for spec in config.inputs}
    if set(specs) != set(call.inputs):
        raise InvalidInput(f"{config.name} takes the inputs {sorted(specs)}, not {sorted(call.inputs)}", field="inputs")
    rows = set()
    for name, array in call.inputs.items():
        shape = array.shape
        if config.max_batch_size:
            rows.add(shape[0] if shape else 0)
            shape = shape[1:]
        if datatype_of(array) != specs[name].datatype or not specs[name].fits(shape):
            raise InvalidInput(f"input {name!r} is {array.dtype} {array.shape}: it must fit {specs[name]}", field=name)
    if config.max_batch_size and (len(rows) != 1 or not 1 <= min(rows) <= config.max_batch_size):
        raise InvalidInput(f"the batch must have 1 to {config.max_batch_size} rows, the same in every input")
    unknown = set(call.outputs or ()) - {spec.name for spec in config.outputs}
    if unknown:
        raise InvalidInput(f"{config.name} has no output {sorted(unknown)}", field="outputs")
