"""A model on a GPU that has a lane for each run at once."""

from __future__ import annotations

import queue
from collections.abc import Mapping, Sequence
from typing import Protocol

from services.shared.tensors import Array, Tensors, TensorSpec


class Lane(Protocol):
    """One run at a time: a stream and buffers of its own."""

    def run(self, inputs: Tensors, batch: int) -> Mapping[str, Array]:
        """Every output, in memory of its own; raises InferenceFailed. `batch` is 1 for a model without batches."""
        ...

    def close(self) -> None: ...


class LanedModel:
    """`run` waits for a free lane; `runtime` is what must outlive the lanes."""

    def __init__(
        self,
        lanes: Sequence[Lane],
        inputs: tuple[TensorSpec, ...],
        outputs: tuple[TensorSpec, ...],
        *,
        batched: bool,
        runtime: object = None,
    ) -> None:
        self.inputs, self.outputs, self.concurrency = inputs, outputs, len(lanes)
        self.inline = False
        self.warnings: tuple[str, ...] = ()
        self._runtime, self._lanes, self._batched = runtime, lanes, batched
        self._free: queue.SimpleQueue[Lane] = queue.SimpleQueue()
        for lane in lanes:
            self._free.put(lane)

    def run(self, inputs: Tensors, *, alone: bool = False) -> Tensors:
        batch = next(iter(inputs.values())).shape[0] if self._batched else 1
        lane = self._free.get()
        try:
            made = lane.run(inputs, batch)
        finally:
            self._free.put(lane)
        return {spec.name: made[spec.name] for spec in self.outputs}

    def close(self) -> None:
        for lane in self._lanes:
            lane.close()
        self._lanes, self._runtime = (), None
