"""What ONNX Runtime's session options are worth on this machine: `python -m loadtests.session_options`.

Runs the sample model and ResNet-50 in fp32 and int8 (exported on the first run, which needs PyTorch) with one option
changed at a time, in interleaved rounds, and prints medians. Needs an idle machine: what had to wait for a core that
another program had is marked with "!".
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from rich.console import Console
from rich.table import Table

from loadtests.bench_models import FP32, INT8, default_directory, resnet50
from services.shared.backends.onnx_runtime_wide import waited_s
from services.shared.config_pbtxt import parse_config
from services.shared.model_config import ModelConfig
from services.shared.tensors import Array

ROOT = Path(__file__).resolve().parent.parent
_PAUSE_S = 0.005
_FAIR = 0.05  # of a turn; what waited longer is marked with "!"
_WIDTH = 150
_TURN_S = 0.02  # of one variant in a round, for models that take less

Call = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Variant:
    """One set of options, and how the session is called."""

    name: str
    threads: int = 1
    level: str = "ORT_ENABLE_ALL"
    arena: bool = True
    patterns: bool = True
    entries: dict[str, str] = field(default_factory=dict)
    run_entries: dict[str, str] = field(default_factory=dict)
    call: str = "run"
    after_pause: bool = False

    def session(self, path: Path) -> Any:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = self.threads, 1
        options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, self.level)
        options.enable_cpu_mem_arena, options.enable_mem_pattern = self.arena, self.patterns
        options.log_severity_level = 4
        for key, value in {"session.intra_op.allow_spinning": "0", **self.entries}.items():
            options.add_session_config_entry(key, value)
        return onnxruntime.InferenceSession(os.fspath(path), options, providers=["CPUExecutionProvider"])


def _spin(**entries: str) -> dict[str, str]:
    return {
        "session.intra_op.allow_spinning": "1",
        **{f"session.{k.replace('__', '.')}": v for k, v in entries.items()},
    }


VARIANTS = (
    Variant("1 thread, ENABLE_ALL, arena, patterns"),
    Variant("level: DISABLE_ALL", level="ORT_DISABLE_ALL"),
    Variant("level: ENABLE_BASIC", level="ORT_ENABLE_BASIC"),
    Variant("level: ENABLE_EXTENDED", level="ORT_ENABLE_EXTENDED"),
    Variant("no arena", arena=False),
    Variant("no memory patterns", patterns=False),
    Variant("no prepacking", entries={"session.disable_prepacking": "1"}),
    Variant("memory back after each run", run_entries={"memory.enable_memory_arena_shrinkage": "cpu:0"}),
    Variant("call: IOBinding, fixed buffers", call="binding"),
    Variant("call: run_with_ort_values", call="values"),
)


def cores() -> int:
    """What this process may use."""
    return len(os.sched_getaffinity(0))


def alone(threads: int) -> tuple[Variant, ...]:
    """As a request that is alone meets them: after a pause, as long as decoding takes, so that spinning shows."""
    kinds: tuple[tuple[str, int, dict[str, str]], ...] = (
        ("1 thread", 1, {}),
        (f"{threads} threads, no spinning", threads, {}),
        (f"{threads} threads, spinning until the run ends", threads, _spin(force_spinning_stop="1")),
        (f"{threads} threads, spinning 20 µs", threads, _spin(intra_op__spin_duration_us="20")),
        (f"{threads} threads, spinning 100 µs", threads, _spin(intra_op__spin_duration_us="100")),
    )
    return tuple(Variant(f"alone: {name}", count, entries=entries, after_pause=True) for name, count, entries in kinds)


@dataclass(frozen=True, slots=True)
class Subject:
    """A model's directory and the batches to run it with."""

    directory: Path
    batches: tuple[int, ...]

    @property
    def name(self) -> str:
        return self.directory.name

    @property
    def path(self) -> Path:
        return self.directory / "1" / "model.onnx"

    def config(self) -> ModelConfig:
        return parse_config((self.directory / "config.pbtxt").read_text(), name=self.name)

    def inputs(self, batch: int) -> dict[str, Array]:
        random, specs = np.random.default_rng(0), self.config().inputs
        return {spec.name: random.integers(0, 256, (batch, *spec.shape)).astype(spec.dtype) for spec in specs}


def subjects(models: Path) -> list[Subject]:
    """The sample model, and ResNet-50 where it is kept in `models` or can be exported into it."""
    heavy = resnet50(models)
    variants = () if heavy is None else (Subject(heavy / FP32, (1, 8)), Subject(heavy / INT8, (1, 8)))
    return [Subject(ROOT / "models" / "digits", (1, 8, 32)), *variants]


def caller(variant: Variant, session: Any, inputs: dict[str, Array]) -> Call:
    names = [output.name for output in session.get_outputs()]
    if variant.call == "binding":
        binding = session.io_binding()
        for name, array in inputs.items():
            binding.bind_cpu_input(name, array)
        for name in names:
            binding.bind_output(name)
        return lambda: session.run_with_iobinding(binding)
    if variant.call == "values":
        values = onnxruntime.OrtValue.ortvalue_from_numpy
        return lambda: [
            value.numpy()
            for value in session.run_with_ort_values(names, {name: values(array) for name, array in inputs.items()})
        ]
    options = onnxruntime.RunOptions()
    for key, value in variant.run_entries.items():
        options.add_run_config_entry(key, value)
    return lambda: session.run(names, inputs, options)


@dataclass(frozen=True, slots=True)
class Turn:
    """One variant in one round: milliseconds for a run, and the part of them that its threads waited for a core."""

    wall_ms: float
    cpu_ms: float
    waited: float


def turn(call: Call, *, pause_s: float) -> Turn:
    """Brief runs are repeated. CPU time is taken a moment later, so that threads that spin on are seen."""
    time.sleep(pause_s)
    before_s, cpu_s, begin_s, runs = waited_s(), time.process_time(), time.perf_counter(), 0
    while runs == 0 or (not pause_s and time.perf_counter() - begin_s < _TURN_S):
        call()
        runs += 1
    wall_s = time.perf_counter() - begin_s
    waited = (waited_s() - before_s) / wall_s
    time.sleep(pause_s)
    return Turn(1000 * wall_s / runs, 1000 * (time.process_time() - cpu_s) / runs, waited)


def measure(one: Subject, batch: int, variants: Sequence[Variant], rounds: int) -> list[str]:
    """For each variant the median wall and CPU milliseconds of a run, over the half of its turns that waited least for
    a core that another program had."""
    inputs = one.inputs(batch)
    calls = [caller(variant, variant.session(one.path), inputs) for variant in variants]
    for call in calls:
        call()
    turns: list[list[Turn]] = [[] for _ in variants]
    for _ in range(rounds):
        for variant, call, taken in zip(variants, calls, turns, strict=True):
            taken.append(turn(call, pause_s=_PAUSE_S if variant.after_pause else 0.0))
    return [_medians(sorted(taken, key=lambda each: each.waited)[: (rounds + 1) // 2]) for taken in turns]


def _medians(turns: Sequence[Turn]) -> str:
    wall_ms, cpu_ms = (
        statistics.median(values) for values in zip(*((t.wall_ms, t.cpu_ms) for t in turns), strict=True)
    )
    busy = "" if max(t.waited for t in turns) < _FAIR else " !"
    return f"{wall_ms:.3g} ({cpu_ms:.3g}){busy}"


def options_table(subjects: Sequence[Subject], rounds: int) -> Table:
    columns = [(one, batch) for one in subjects for batch in one.batches]
    headers = [f"{one.name}\nbatch {batch}" for one, batch in columns]
    table = Table("ms for a run (CPU)", *headers, title="ONNX Runtime session options")
    variants = (*VARIANTS, *(alone(cores()) if cores() > 1 else ()))
    cells = [measure(one, batch, variants, rounds) for one, batch in columns]
    for index, variant in enumerate(variants):
        table.add_row(variant.name, *(column[index] for column in cells))
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description="What session options are worth on this machine.")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--models", type=Path, default=default_directory(), help="where the ResNet-50s are kept")
    parser.add_argument("--only", metavar="NAME", help="one of the models")
    options = parser.parse_args()
    console = Console(width=max(_WIDTH, Console().width))
    wanted = [one for one in subjects(options.models) if options.only in (None, one.name)]
    console.print(options_table(wanted, options.rounds))


if __name__ == "__main__":
    main()
