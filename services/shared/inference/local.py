"""The engine in this process."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from services.shared.engine.base import LoadedVersion, State, VersionState
from services.shared.engine.engine import Engine
from services.shared.errors import NotFound, NotReady, ServingError
from services.shared.fleet.base import ModelControl
from services.shared.inference.base import BriefRuns, IndexEntry, InferResult, ModelMetadata, ModelStatistics
from services.shared.model_config import ModelConfig
from services.shared.model_ref import ModelRef
from services.shared.priority import Priority
from services.shared.repository.base import ModelRepository
from services.shared.tensors import Tensors
from services.shared.tracing.base import Value
from services.shared.tracing.span import Span, note, open_span

_UNLOADED = VersionState(State.UNAVAILABLE, "unloaded")


class LocalInference:
    """An InferenceClient. `load` and `unload` go to the control, which reaches every process; the engine stays the
    property of whoever made it, so `close` leaves it running."""

    def __init__(self, engine: Engine, repository: ModelRepository, control: ModelControl) -> None:
        self._engine = engine
        self._repository = repository
        self._control = control
        self.brief: BriefRuns | None = engine

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
            result = await self._engine.infer(ref, inputs, timeout_s=timeout_s, priority=priority, outputs=outputs)
        except NotFound as error:
            raise await self._missing(ref, error) from error
        span = open_span()
        if span is not None:
            _note_run(span, ref, result)
        return result

    async def ready(self, ref: ModelRef | None = None) -> bool:
        """Of the whole process: something answers, and nothing that was asked for is still loading or has failed."""
        states = self._engine.states()
        if ref is not None:
            return ref in states and states[ref].state is State.READY
        asked_for = [each.state for each in states.values() if each.state is not State.UNLOADING]
        return bool(asked_for) and all(state is State.READY for state in asked_for)

    async def metadata(self, ref: ModelRef) -> ModelMetadata:
        model = await self._model(ref)
        states = self._engine.states()
        versions = sorted(r.version for r, s in states.items() if r.name == ref.name and s.state is State.READY)
        config = model.config
        return ModelMetadata(
            ref, config.platform, tuple(versions), model.inputs, model.outputs, config.max_batch_size, model.sha256
        )

    async def config(self, ref: ModelRef) -> ModelConfig:
        return (await self._model(ref)).config

    async def labels(self, ref: ModelRef) -> tuple[str, ...]:
        model = await self._model(ref)
        return next((model.labels[name] for name in model.config.label_files), ())

    async def _model(self, ref: ModelRef) -> LoadedVersion:
        try:
            return self._engine.model(ref)
        except NotFound as error:
            raise await self._missing(ref, error) from error

    async def _missing(self, ref: ModelRef, error: NotFound) -> NotFound | NotReady:
        """What a version that the engine does not have is to its caller: one that the repository has may come."""
        try:
            known = ref.version in await asyncio.to_thread(self._repository.versions, ref.name)
        except ServingError:
            return error
        return NotReady(f"{ref} is not loaded", retry_after_s=1.0) if known else error

    async def index(self) -> tuple[IndexEntry, ...]:
        found = await asyncio.to_thread(_repository_versions, self._repository)
        return joined_index(found, self._engine.states())

    async def statistics(self, ref: ModelRef | None = None) -> tuple[ModelStatistics, ...]:
        return self._engine.statistics(ref)

    async def load(self, name: str, version: int | None = None) -> None:
        await self._control.load(name, version)

    async def unload(self, name: str, version: int | None = None) -> None:
        await self._control.unload(name, version)

    async def close(self) -> None:
        """Nothing to give back."""


def _note_run(outer: Span, ref: ModelRef, result: InferResult) -> None:
    """A run that has just ended, and the wait before it, as parts of a span."""
    ended_s = outer.tracer.monotonic()
    started_s = ended_s - result.infer_s
    about: dict[str, Value] = {"grayscale.model": ref.name, "grayscale.version": ref.version}
    note("queue", started_s - result.queue_s, started_s, about)
    note("run", started_s, ended_s, {**about, "grayscale.batch_size": result.run_size})


def joined_index(
    found: Mapping[str, Sequence[int] | str], states: Mapping[ModelRef, VersionState]
) -> tuple[IndexEntry, ...]:
    """The repository's models (their versions, or why they cannot be read) with what the engine has of them.

    A version that answers though its files are gone is listed as well.
    """
    entries = {ref: IndexEntry(ref.name, ref.version, each.state, each.reason) for ref, each in states.items()}
    unreadable = []
    for name, versions in found.items():
        if isinstance(versions, str):
            unreadable.append(IndexEntry(name, None, State.UNAVAILABLE, versions))
            continue
        for version in versions:
            ref = ModelRef(name, version)
            entries.setdefault(ref, IndexEntry(name, version, _UNLOADED.state, _UNLOADED.reason))
    return tuple(sorted([*unreadable, *entries.values()], key=lambda entry: (entry.name, entry.version or 0)))


def _repository_versions(repository: ModelRepository) -> dict[str, Sequence[int] | str]:
    found: dict[str, Sequence[int] | str] = {}
    for name in repository.names():
        try:
            repository.config(name)
            found[name] = repository.versions(name)
        except ServingError as error:
            found[name] = error.detail
    return found
