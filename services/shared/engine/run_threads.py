"""The threads in which one loaded version's runs take place."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from services.shared.backends.base import LoadedModel
from services.shared.clock import Clock
from services.shared.engine.execution import Execution, attempt
from services.shared.engine.waiting_queue import QueuedRequest
from services.shared.errors import ServingError
from services.shared.model_config import ModelConfig

Outcome = Execution | ServingError
Requests = list[QueuedRequest]


class RunThreads:
    """As many threads as the model runs at once; made in the event loop that hears of the outcomes.

    `run_done` hears of a run of some of the requests that were handed over, `work_done` once of them all, then or with
    the outcome of the one run that they shared.
    """

    def __init__(
        self,
        model: LoadedModel,
        config: ModelConfig,
        clock: Clock,
        *,
        run_done: Callable[[Requests, Outcome], None],
        work_done: Callable[[Requests, Outcome | None], None],
    ) -> None:
        self._model, self._clock = model, clock
        self._batched = config.max_batch_size > 0
        self._run_done, self._work_done = run_done, work_done
        self._loop = asyncio.get_running_loop()
        self._pool = ThreadPoolExecutor(model.concurrency, thread_name_prefix=f"run-{config.name}")

    def start(self, requests: Requests, *, alone: bool) -> None:
        """Runs the batch as it was planned, or each request alone when that fails. One that is `alone` is told so,
        unless a request of it is modest: whoever comes meanwhile finds cores that are free."""
        self._pool.submit(self._work, requests, alone and not any(request.modest for request in requests))

    def repeat(self, requests: Requests) -> None:
        """Runs each request of a failed batch alone."""
        self._pool.submit(self._repeat, requests)

    def attempt(self, requests: Requests, alone: bool = False) -> Outcome:
        """One run, in the thread of the caller."""
        inputs, sizes = [r.inputs for r in requests], [r.batch for r in requests]
        return attempt(self._model, inputs, sizes, batched=self._batched, clock=self._clock, alone=alone)

    def close(self, *, wait: bool) -> None:
        self._pool.shutdown(wait=wait)

    def _work(self, requests: Requests, alone: bool) -> None:
        outcome = None if all(r.future.done() for r in requests) else self.attempt(requests, alone)
        if isinstance(outcome, ServingError) and len(requests) > 1:
            self._repeat(requests)
            return
        # One call for the answers and the free slot: between two, the slot could stay idle for milliseconds.
        self._loop.call_soon_threadsafe(self._work_done, requests, outcome)

    def _repeat(self, requests: Requests) -> None:
        for request in requests:
            if not request.future.done():
                self._loop.call_soon_threadsafe(self._run_done, [request], self.attempt([request]))
        self._loop.call_soon_threadsafe(self._work_done, requests, None)
