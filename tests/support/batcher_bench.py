"""A batcher over a fake model, with what a test needs around it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from services.shared.backends.base import Placement
from services.shared.backends.fake import FakeBackend, FakeScript
from services.shared.clock import SystemClock
from services.shared.config_pbtxt import parse_config
from services.shared.engine.base import InferResult
from services.shared.engine.batcher import Batcher
from services.shared.engine.recorder import Recorder
from services.shared.model_ref import ModelRef
from services.shared.priority import Priority
from tests.support.configs import config_text
from tests.support.polling import until

VERSION = 3  # the fake model gives its input times this


class BatcherBench:
    """Made inside a running loop. Rows have two columns, both with the same number."""

    def __init__(
        self,
        batching: str | None = "",
        *,
        script: FakeScript | None = None,
        sizes: Iterable[int] = range(1, 9),
        concurrency: int = 1,
        max_batch_size: int = 8,
        dims: str = "2",
        inline: bool = False,
    ) -> None:
        """`inline`: every run is brief enough for the event loop; such a model cannot wait at a gate."""
        self.script = script or FakeScript()
        self.script.concurrency = concurrency
        config = parse_config(config_text(dims=dims, max_batch_size=max_batch_size, batching=batching), name="m")
        self.model = FakeBackend(self.script).load(Path(f"m/{VERSION}/model.onnx"), config, Placement(1))
        self.model.inline = inline
        clock = SystemClock()
        self.recorder = Recorder(ModelRef("m", VERSION), clock)
        run_s = dict.fromkeys(sizes, 1e-6 if inline else 0.0)
        self.batcher = Batcher(self.model, config, run_s, clock=clock, recorder=self.recorder)
        self.finished: list[float] = []  # the numbers of the requests, in the order in which their callers heard

    def ask(
        self,
        number: float,
        rows: int = 1,
        *,
        timeout_s: float | None = None,
        priority: Priority = Priority.NORMAL,
        width: int = 2,
    ) -> asyncio.Task[InferResult]:
        """A caller that asks for `rows` rows of `number`; it has not run before the test next awaits."""
        return asyncio.create_task(self._ask(number, (rows, width), timeout_s, priority))

    async def _ask(
        self, number: float, shape: tuple[int, int], timeout_s: float | None, priority: Priority
    ) -> InferResult:
        inputs: dict[str, Any] = {"x": np.full(shape, number, dtype=np.float32)}
        try:
            return await self.batcher.submit(inputs, shape[0], timeout_s=timeout_s, priority=priority)
        finally:
            self.finished.append(number)

    async def busy(self, number: float = 100.0) -> asyncio.Task[InferResult]:
        """Shuts the gate and gives a caller whose run stands at it: what is asked for next must wait."""
        self.script.gate = threading.Event()
        began = len(self.model.batches)
        task = self.ask(number)
        await until(lambda: len(self.model.batches) > began)
        return task

    def open(self) -> None:
        """Lets every run go on."""
        if self.script.gate is not None:
            self.script.gate.set()

    async def queued(self, count: int) -> None:
        """Waits until so many requests wait."""
        await until(lambda: self.batcher.pending == count)

    async def close(self) -> None:
        self.open()
        await self.batcher.close(5.0)


def right(result: InferResult, number: float, rows: int = 1) -> bool:
    """Whether this is the answer to a request for `rows` rows of `number`."""
    return bool(np.array_equal(result.outputs["y"], np.full((rows, 2), number * VERSION, dtype=np.float32)))
