"""Runs models: loads versions beside what serves, swaps them in when they are warm, drains the old."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from services.shared.backends.base import Backend, LoadedModel, Placement
from services.shared.clock import Clock, SystemClock
from services.shared.engine.base import InferResult, LoadedVersion, VersionState, Waiter
from services.shared.engine.batcher import Batcher
from services.shared.engine.check_inputs import check_inputs, check_outputs
from services.shared.engine.in_parts import in_parts
from services.shared.engine.load_version import WarmModel, load_version
from services.shared.engine.recorder import Recorder
from services.shared.engine.registry import Registry, Serving
from services.shared.engine.run_cost import Occupancy
from services.shared.errors import InferenceFailed, NotFound, NotReady, ServingError
from services.shared.model_ref import ModelRef
from services.shared.priority import Priority
from services.shared.release_memory import release_memory
from services.shared.repository.base import ModelRepository
from services.shared.telemetry.base import FailureReason, ModelMetrics, ModelStatistics
from services.shared.tensors import Tensors

DRAIN_S = 30.0
_log = logging.getLogger(__name__)


class Engine:
    """The models of one process; made and used in one event loop. `backends` is by the config's `backend`.

    Raises only ServingError, and CancelledError to a caller that is cancelled. Loading and closing happen in threads:
    neither the loop nor other models wait for them.
    """

    def __init__(
        self,
        repository: ModelRepository,
        backends: Mapping[str, Backend],
        *,
        placement: Placement,
        clock: Clock | None = None,
    ) -> None:
        self._repository, self._backends, self._placement = repository, dict(backends), placement
        self._clock: Clock = clock or SystemClock()
        self._registry = Registry()
        self._occupancy = Occupancy()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = asyncio.Event()

    async def load(self, ref: ModelRef) -> None:
        """Loads a version afresh from the repository and lets it answer once it is warm; what served it before then
        finishes what it was given, within DRAIN_S.

        Raises NotFound, or InferenceFailed with the reason; then whatever served goes on. A caller that is cancelled
        stops waiting: the load goes on, so that nothing is left half done.
        """
        await self._finish(self._load(ref))

    async def unload(self, ref: ModelRef, drain_s: float = DRAIN_S) -> None:
        """Refuses new requests at once, finishes the accepted ones within `drain_s`, frees the memory.

        Raises NotFound.
        """
        await self._finish(self._unload(ref, drain_s))

    async def infer(
        self,
        ref: ModelRef,
        inputs: Tensors,
        *,
        timeout_s: float | None = None,
        priority: Priority = Priority.NORMAL,
        outputs: Sequence[str] | None = None,
    ) -> InferResult:
        """Runs one request and gives the named outputs, or all.

        Raises InvalidInput with the input's name as `field`, NotFound, NotReady, Overloaded, DeadlineExceeded (at
        `timeout_s`, whatever the model does meanwhile) or InferenceFailed.
        """
        serving = self._registry.get(ref)
        try:
            batch = check_inputs(ref.name, serving.inputs, serving.version.config.max_batch_size, inputs)
            if outputs:
                check_outputs(ref.name, serving.version.outputs, outputs)
        except ServingError:
            serving.recorder.failed(FailureReason.OTHER, 0.0)
            raise
        submit = functools.partial(serving.batcher.submit, timeout_s=timeout_s, priority=priority)
        size, recorder = serving.batcher.part_size, serving.recorder
        if batch <= size:
            result = await submit(inputs, batch)
        else:
            part = functools.partial(submit, part=True)
            result = await in_parts(part, inputs, batch, size, recorder=recorder, clock=self._clock)
        if not outputs:
            return result
        chosen = {name: result.outputs[name] for name in outputs}
        return InferResult(chosen, result.queue_s, result.infer_s, result.run_size)

    def brief_size(self, ref: ModelRef) -> int:
        """See BriefRuns; raises NotFound or NotReady."""
        return self._registry.get(ref).batcher.brief_size

    def begin(self, ref: ModelRef, inputs: Tensors, waiter: Waiter, arrived_s: Sequence[float]) -> Callable[[], None]:
        """See BriefRuns; raises as `infer` does."""
        serving = self._registry.get(ref)
        batch = check_inputs(ref.name, serving.inputs, serving.version.config.max_batch_size, inputs)
        request = serving.batcher.begin(inputs, batch, waiter, arrived_s)
        return lambda: serving.batcher.withdraw(request)

    def answers(self, ref: ModelRef) -> bool:
        """Whether the version can be asked now; takes no time."""
        return ref in self._registry

    def states(self) -> Mapping[ModelRef, VersionState]:
        """Every version that was loaded or failed to load and was not unloaded since."""
        return self._registry.states()

    def model(self, ref: ModelRef) -> LoadedVersion:
        """A version that answers; raises NotFound or NotReady."""
        return self._registry.get(ref).version

    def statistics(self, ref: ModelRef | None = None) -> tuple[ModelStatistics, ...]:
        """One version's totals since its last load (raises NotFound or NotReady), or those of all, sorted."""
        chosen = [self._registry.get(ref)] if ref is not None else sorted(self._registry, key=lambda s: s.version.ref)
        return tuple(serving.recorder.statistics() for serving in chosen)

    def metrics(self) -> Mapping[ModelRef, ModelMetrics]:
        """The numbers of every version that answers, since its last load."""
        return {
            s.version.ref: s.recorder.metrics(s.batcher.pending, s.batcher.oldest_running_s) for s in self._registry
        }

    async def close(self, drain_s: float = DRAIN_S) -> None:
        """Unloads everything at once, within `drain_s`; nothing can be loaded afterwards."""
        self._closed.set()
        await asyncio.gather(*(self._close_one(s.version.ref, drain_s) for s in self._registry))
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def _close_one(self, ref: ModelRef, drain_s: float) -> None:
        with contextlib.suppress(NotFound):  # somebody else unloads it at this moment
            await self._finish(self._unload(ref, drain_s))

    async def _finish(self, work: Coroutine[Any, Any, None]) -> None:
        # A task of its own, shielded: a version must not be left between two states by a caller that went away.
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._task_done)
        await asyncio.shield(task)

    def _task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # heard, also when the caller went away; the state of the version tells the reason

    async def _load(self, ref: ModelRef) -> None:
        async with self._registry.changing(ref):
            if self._closed.is_set():
                raise NotReady("the engine is closed")
            self._registry.loading(ref)
            try:
                warm = await asyncio.to_thread(
                    load_version, ref, self._repository, self._backends, self._placement, self._clock
                )
            except ServingError as error:
                self._registry.failed(ref, error.detail)
                raise
            except Exception as error:
                _log.exception("loading %s raised what neither a repository nor a backend promises", ref)
                reason = f"loading {ref} failed: {type(error).__name__}: {error}"
                self._registry.failed(ref, reason)
                raise InferenceFailed(reason) from error
            if self._closed.is_set():  # while it was loaded: nobody would unload it any more
                self._registry.failed(ref, "the engine is closed")
                await asyncio.to_thread(_close, warm.model)
                raise NotReady("the engine is closed")
            before = self._registry.swap(self._serve(warm))
            if before is not None:
                await self._retire(before, DRAIN_S)

    async def _unload(self, ref: ModelRef, drain_s: float) -> None:
        async with self._registry.changing(ref):
            serving = self._registry.unloading(ref)
            try:
                if serving is not None:
                    await self._retire(serving, drain_s)
            finally:
                self._registry.forget(ref)

    def _serve(self, warm: WarmModel) -> Serving:
        version, model = warm.version, warm.model
        recorder = Recorder(version.ref, self._clock)
        batcher = Batcher(
            model,
            version.config,
            warm.run_s,
            clock=self._clock,
            recorder=recorder,
            occupancy=self._occupancy,
        )
        return Serving(version, model, batcher, recorder, {spec.name: spec for spec in version.inputs})

    async def _retire(self, serving: Serving, drain_s: float) -> None:
        if not await serving.batcher.close(drain_s):
            # Closing it under a run that is stuck could crash the process: its memory is lost until the process ends.
            _log.error("%s has a run that does not end; its memory is not freed", serving.version.ref)
            return
        await asyncio.to_thread(_close, serving.model)


def _close(model: LoadedModel) -> None:
    model.close()
    release_memory()
