"""Measuring: fair turns, bounded time, honest numbers. Time is a clock that the models themselves move."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from exporters.base import ExportFailed, Timing
from exporters.profile import LEAST_RUNS, TURNS, Plan, Subject, measure, random_input, summarise
from services.shared.backends.fake import FakeBackend, FakeScript
from services.shared.clock import ManualClock
from services.shared.errors import InferenceFailed
from services.shared.model_config import InstanceGroup, ModelConfig
from services.shared.tensors import Tensors, TensorSpec

CONFIG = ModelConfig(
    "m", "fake", "fake", 8, (TensorSpec("image", "UINT8", (2, 2, 1)),), (TensorSpec("image", "UINT8", (2, 2, 1)),)
)


class Machine:
    """A backend whose version v runs for v milliseconds per image; `runs` are (version, batch) in order."""

    def __init__(self) -> None:
        self.clock, self.runs = ManualClock(), list[tuple[int, int]]()
        self.backend = FakeBackend(FakeScript(compute=self._compute))
        self.told: list[tuple[int, int]] = []

    def _compute(self, inputs: Tensors, version: int) -> Tensors:
        batch = len(inputs["image"])
        self.runs.append((version, batch))
        self.clock.advance(version * batch / 1000)
        return inputs

    def measure(self, plan: Plan, *versions: int, config: ModelConfig = CONFIG) -> dict[str, tuple[Timing, ...]]:
        subjects = [Subject(f"m/{v}", Path(f"m/{v}/model"), config) for v in versions]
        tell = lambda _, done, total: self.told.append((done, total))  # noqa: E731
        return measure(subjects, {"fake": self.backend}, plan, clock=self.clock, tell=tell)


def test_every_point_is_measured_by_threads_and_batch() -> None:
    timings = Machine().measure(Plan((1, 4), (1, 2), 0.1), 1, 5)
    assert list(timings) == ["m/1", "m/5"]
    assert [(t.threads, t.batch) for t in timings["m/1"]] == [(1, 1), (1, 4), (2, 1), (2, 4)]
    (single, four, *_) = timings["m/5"]
    assert single.p50_ms == pytest.approx(5)
    assert four.p50_ms == pytest.approx(20)
    assert single.images_per_s == pytest.approx(200)
    assert single.std_ms == pytest.approx(0, abs=1e-6)


def test_models_take_turns_so_that_the_machines_moods_hit_all_alike() -> None:
    machine = Machine()
    machine.measure(Plan((1,), (1,), 0.1), 1, 2)
    runs = [version for version, _ in machine.runs]
    changes = sum(a != b for a, b in pairwise(runs))
    assert changes >= 2 * TURNS - 1


def test_a_point_takes_its_seconds_and_a_slow_model_its_least_runs() -> None:
    machine = Machine()
    begin = machine.clock.monotonic()
    (fast,) = machine.measure(Plan((1,), (1,), 0.5), 10)["m/10"]
    assert fast.runs == 50
    (slow,) = machine.measure(Plan((1,), (1,), 0.5), 2000)["m/2000"]
    assert slow.runs == LEAST_RUNS
    assert machine.clock.monotonic() - begin < 0.6 + 2.0 * (LEAST_RUNS + 1.01)  # each with its warm-up


def test_batches_above_what_a_model_takes_become_its_largest() -> None:
    (one, eight) = Machine().measure(Plan((1, 16, 64), (1,), 0.05), 1)["m/1"]
    assert (one.batch, eight.batch) == (1, 8)


def test_the_backend_is_asked_for_one_caller_with_the_threads_of_the_point() -> None:
    machine = Machine()
    config = ModelConfig(
        "m", "fake", "fake", 8, CONFIG.inputs, CONFIG.outputs, instances=(InstanceGroup("CPU", 4), InstanceGroup("CPU"))
    )
    machine.measure(Plan((1,), (1, 2), 0.01), 1, config=config)
    assert {model.concurrency for model in machine.backend.models} == {1}
    assert all(model.closed for model in machine.backend.models)


def test_progress_grows_and_ends_with_everything() -> None:
    machine = Machine()
    machine.measure(Plan((1, 4), (1,), 0.1), 1, 30)
    shares = [done / total for done, total in machine.told]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def test_what_cannot_be_loaded_or_run_is_named() -> None:
    machine = Machine()
    machine.backend.script.load_error = "no such device"
    with pytest.raises(ExportFailed, match="m/1 cannot be measured: no such device"):
        machine.measure(Plan((1,), (1,), 0.01), 1)
    machine.backend.script.load_error = None

    def fail(inputs: Tensors, version: int) -> Tensors:
        raise InferenceFailed("out of memory")

    machine.backend.script.compute = fail
    with pytest.raises(ExportFailed, match="m/1 cannot be measured: out of memory"):
        machine.measure(Plan((1,), (1,), 0.01), 1)
    assert all(model.closed for model in machine.backend.models)
    with pytest.raises(ExportFailed, match="needs the backend fake"):
        measure([Subject("m/1", Path("m/1/f"), CONFIG)], {}, Plan((1,), (1,), 1), clock=machine.clock, tell=print)


def test_the_median_decides_the_images_per_second() -> None:
    timing = summarise([0.01, 0.01, 0.01, 0.01, 1.0], batch=2, threads=1, resident_bytes=7)
    assert timing.images_per_s == pytest.approx(200)
    assert timing.mean_ms == pytest.approx(208)
    assert timing.p99_ms > timing.p95_ms > timing.p50_ms == pytest.approx(10)
    assert (timing.runs, timing.resident_bytes) == (5, 7)


@pytest.mark.parametrize(
    ("spec", "shape"),
    [
        (TensorSpec("a", "UINT8", (4, 4, 3)), (2, 4, 4, 3)),
        (TensorSpec("a", "FP16", (-1, 5)), (2, 1, 5)),
        (TensorSpec("a", "BYTES", (3,)), (2, 3)),
        (TensorSpec("a", "INT64", ()), (2,)),
    ],
)
def test_an_input_that_fits_any_model_is_made(spec: TensorSpec, shape: tuple[int, ...]) -> None:
    made = random_input(spec, 2)
    assert made.shape == shape
    assert made.dtype == (np.dtype(object) if spec.datatype == "BYTES" else spec.dtype)
