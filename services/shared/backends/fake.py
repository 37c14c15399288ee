"""A backend without a runtime: does what a test tells it, and remembers what it was asked."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from services.shared.backends.base import Placement
from services.shared.errors import InferenceFailed
from services.shared.model_config import ModelConfig
from services.shared.tensors import BYTES, Tensors

GATE_S = 60.0  # a gate that nobody opens fails the run instead of hanging the process


@dataclass(slots=True)
class FakeScript:
    """How models behave; may be changed while they run.

    `gate`: every run waits until it is set. `compute(inputs, version)` makes the outputs, or raises; None: every output
    is the input of the same position, times the version. `load_error`: why a file cannot be loaded.
    """

    gate: threading.Event | None = None
    compute: Callable[[Tensors, int], Tensors] | None = None
    load_error: str | None = None
    load_gate: threading.Event | None = None
    concurrency: int | None = None


class FakeModel:
    """`batches` lists the batch size of every run in the order in which they began; `peak` is the largest number of
    runs at once."""

    def __init__(self, config: ModelConfig, version: int, script: FakeScript, concurrency: int) -> None:
        self.inputs, self.outputs = config.inputs, config.outputs
        self.concurrency = concurrency
        self.warnings: tuple[str, ...] = tuple(f"execution_accelerators {a.name}" for a in config.accelerators)
        self.inline = False
        self.version = version
        self.batches: list[int] = []
        self.peak = 0
        self.closed = False
        self._script, self._batched = script, config.max_batch_size > 0
        self._lock = threading.Lock()
        self._running = 0

    def run(self, inputs: Tensors, *, alone: bool = False) -> Tensors:
        with self._lock:
            if self.closed:
                raise InferenceFailed("a run after close")
            self.batches.append(next(iter(inputs.values())).shape[0] if self._batched else 1)
            self._running += 1
            self.peak = max(self.peak, self._running)
        try:
            _pass(self._script.gate)
            if self._script.compute is not None:
                return self._script.compute(inputs, self.version)
            return self._multiplied(inputs)
        finally:
            with self._lock:
                self._running -= 1

    def close(self) -> None:
        with self._lock:
            if self._running:
                raise InferenceFailed("closed while it runs")
            self.closed = True

    def _multiplied(self, inputs: Tensors) -> Tensors:
        made = {}
        for given, wanted in zip(self.inputs, self.outputs, strict=False):
            array = inputs[given.name]
            made[wanted.name] = (
                array if given.datatype == BYTES else np.multiply(array, self.version, dtype=array.dtype)
            )
        return made


class FakeBackend:
    """`models` lists every model that was loaded, in order. The version is the name of the file's directory."""

    name = "fake"

    def __init__(self, script: FakeScript | None = None) -> None:
        self.script = script or FakeScript()
        self.models: list[FakeModel] = []

    def load(self, path: Path, config: ModelConfig, placement: Placement) -> FakeModel:
        _pass(self.script.load_gate)
        if self.script.load_error is not None:
            raise InferenceFailed(self.script.load_error)
        count = self.script.concurrency or sum(group.count for group in config.instances) or placement.cores
        model = FakeModel(config, int(path.parent.name), self.script, count)
        self.models.append(model)
        return model


def _pass(gate: threading.Event | None) -> None:
    if gate is not None and not gate.wait(GATE_S):
        raise InferenceFailed("the gate of a fake model was never opened")
