"""From a file to an ONNX model on the CPU."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from services.shared.backends.kept_graphs import KeptGraphs
from services.shared.backends.onnx_runtime_model import OnnxRuntimeModel, SessionRunner
from services.shared.backends.onnx_runtime_optimize import can_be_made_up, is_large, made_up, optimized_graph
from services.shared.backends.onnx_runtime_session import SessionPlan, open_session
from services.shared.backends.onnx_runtime_specs import checked_specs
from services.shared.backends.onnx_runtime_threads import Threads
from services.shared.backends.onnx_runtime_wide import Verdict, choose_wide, waited_s
from services.shared.clock import Clock
from services.shared.errors import InferenceFailed
from services.shared.model_config import ModelConfig
from services.shared.tensors import TensorSpec

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Source:
    """What sessions of one model are made from: `plan` fits `path`."""

    path: Path
    name: str
    plan: SessionPlan
    note: str

    def open(self, **changes: Any) -> Any:
        return open_session(self.path, self.name, replace(self.plan, **changes))


def open_cpu_model(
    path: Path, config: ModelConfig, threads: Threads, *, kept: KeptGraphs | None, clock: Clock
) -> OnnxRuntimeModel:
    """Raises InferenceFailed when the file cannot be loaded or has not the tensors that the config promises."""
    large = is_large(path)
    source, session = _open(path, config, threads.intra_op, kept, large=large)
    inputs = checked_specs(config, "input", config.inputs, session.get_inputs())
    outputs = checked_specs(config, "output", config.outputs, session.get_outputs())
    narrow = SessionRunner(session, outputs, large=large)

    def open_wide() -> SessionRunner:
        return SessionRunner(source.open(threads=threads.wide, wide=True), outputs, large=large)

    wide, verdict = _wide(narrow, open_wide, threads, inputs, _rows(config), clock)
    notes = (
        f"{_count(threads.concurrency, 'run')} at once of {_count(threads.intra_op, 'thread')}",
        verdict.reason,
        source.note,
    )
    _log.info("%s runs on the CPU: %s", config.name, "; ".join(notes), extra={"model": config.name})
    return OnnxRuntimeModel(
        narrow,
        wide,
        inputs,
        outputs,
        concurrency=threads.concurrency,
        warnings=tuple(f"optimization.execution_accelerators {a.name} ({a.device})" for a in config.accelerators),
        notes=notes,
        batched=config.max_batch_size > 0,
    )


def _open(
    path: Path, config: ModelConfig, threads: int, kept: KeptGraphs | None, *, large: bool
) -> tuple[_Source, Any]:
    """The session that every model has, from the kept graph where there is one."""
    plain = _Source(path, config.name, SessionPlan(threads=threads, patterns=not large), "weights of its own")
    graph = _kept_graph(path, config, kept) if kept is not None and large else None
    if graph is not None:
        mapped = replace(plain, path=graph, plan=replace(plain.plan, optimized=True), note="weights shared")
        try:
            return mapped, mapped.open()
        except InferenceFailed as error:  # another process may have removed it meanwhile
            _log.warning("%s is loaded without its kept graph: %s", config.name, error.detail)
    return plain, plain.open()


def _kept_graph(path: Path, config: ModelConfig, kept: KeptGraphs) -> Path | None:
    if not config.inputs or not can_be_made_up((*config.inputs, *config.outputs)):
        return None  # its optimised form could not be proven
    return optimized_graph(kept, path, config.name, made_up(config.inputs, _rows(config)))


def _wide(
    narrow: SessionRunner,
    open_wide: Callable[[], SessionRunner],
    threads: Threads,
    inputs: tuple[TensorSpec, ...],
    rows: int,
    clock: Clock,
) -> tuple[SessionRunner | None, Verdict]:
    if not threads.wide:
        return None, Verdict(False, "no more threads for a run that is alone")
    if not can_be_made_up(inputs):
        return None, Verdict(False, "no more threads for a run that is alone: its size is open, so nothing is measured")
    feed = {spec.name: np.zeros((rows, *spec.shape) if rows else spec.shape, spec.dtype) for spec in inputs}
    return choose_wide(narrow, open_wide, lambda session: session.run(feed, 1), threads.wide, clock, waited_s)


def _rows(config: ModelConfig) -> int:
    return 1 if config.max_batch_size else 0


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"
