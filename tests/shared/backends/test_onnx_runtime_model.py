from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from services.shared.backends.base import Placement
from services.shared.backends.onnx_runtime import OnnxRuntimeBackend
from services.shared.backends.onnx_runtime_model import OnnxRuntimeModel, SessionRunner
from services.shared.backends.onnx_runtime_session import SessionPlan, open_session
from services.shared.config_pbtxt import parse_config
from services.shared.errors import InferenceFailed
from services.shared.tensors import Array, TensorSpec
from tests.support import onnx_models
from tests.support.configs import config_text
from tests.support.load_cycles import resident_bytes

X, Y = TensorSpec("x", "FP32", (4,)), TensorSpec("y", "FP32", (4,))
MIB = 1 << 20


class RecordingSession:
    """Answers with its inputs, and remembers for each run whether memory was to be given back."""

    def __init__(self) -> None:
        self.shrunk: list[bool] = []

    def run(self, names: list[str], feed: dict[str, Array], options: Any) -> list[Array]:
        self.shrunk.append(options is not None)
        return list(feed.values())


def model(
    narrow: RecordingSession, wide: RecordingSession | None, *, batched: bool = True, large: bool = True
) -> OnnxRuntimeModel:
    sessions = [None if each is None else SessionRunner(each, (Y,), large=large) for each in (narrow, wide)]
    assert sessions[0] is not None
    return OnnxRuntimeModel(sessions[0], sessions[1], (X,), (Y,), concurrency=1, batched=batched)


def rows(count: int) -> dict[str, Array]:
    return {"x": np.zeros((count, 4), np.float32)}


def test_run_that_is_alone_takes_the_wide_session() -> None:
    narrow, wide = RecordingSession(), RecordingSession()
    made = model(narrow, wide)
    for alone in (False, True, True):
        made.run(rows(1), alone=alone)
    assert (len(narrow.shrunk), len(wide.shrunk), made.has_wide) == (1, 2, True)


def test_run_that_is_alone_takes_the_only_session_there_is() -> None:
    narrow = RecordingSession()
    made = model(narrow, None)
    made.run(rows(1), alone=True)
    assert (len(narrow.shrunk), made.has_wide) == (1, False)


@pytest.mark.parametrize(
    ("batches", "shrunk"),
    [
        ([1, 2, 4, 8], []),  # growing
        ([8, 8, 7, 4, 8], []),  # about the same
        ([8, 3], [1]),
        ([8, 3, 3, 2], [1]),  # once, until it shrinks again
        ([32, 16, 8, 4, 2, 1], [2, 4]),  # a warm-up, the largest batch first
        ([8, 1, 8, 1], [1, 3]),
    ],
)
def test_memory_is_given_back_when_batches_become_much_smaller(batches: list[int], shrunk: list[int]) -> None:
    session = RecordingSession()
    made = model(session, None)
    for batch in batches:
        made.run(rows(batch))
    assert [index for index, each in enumerate(session.shrunk) if each] == shrunk


@pytest.mark.parametrize(("values", "shrunk"), [(4, False), (8191, False), (8192, True)])  # 32 rows of 8192: a MiB
def test_small_model_keeps_the_memory_of_small_inputs(values: int, shrunk: bool) -> None:
    session = RecordingSession()
    made = model(session, None, large=False)
    for batch in (32, 8):
        made.run({"x": np.zeros((batch, values), np.float32)})
    assert session.shrunk == [False, shrunk]


def test_model_without_batches_takes_any_first_dimension_for_what_it_is() -> None:
    session = RecordingSession()
    made = model(session, None, batched=False)
    for size in (100, 1):
        made.run(rows(size))
    assert session.shrunk == [False, False]


def test_memory_of_a_large_batch_does_not_stay(tmp_path: Path) -> None:
    path = onnx_models.write(onnx_models.widened(2_000_000), tmp_path / "m" / "1" / "model.onnx")
    config = parse_config(config_text(dims="1", max_batch_size=64), name="m")
    made = OnnxRuntimeBackend().load(path, config, Placement(1))
    made.run({"x": np.ones((1, 1), np.float32)})
    small = resident_bytes()
    made.run({"x": np.ones((64, 1), np.float32)})
    large = resident_bytes()
    assert large - small > 200 * MIB  # 64 rows of 8 MB
    made.run({"x": np.ones((1, 1), np.float32)})
    assert resident_bytes() - small < 64 * MIB


def test_run_after_close_is_a_failure_of_inference(tmp_path: Path) -> None:
    path = onnx_models.write(onnx_models.scaled(2), tmp_path / "m" / "1" / "model.onnx")
    made = OnnxRuntimeBackend().load(path, parse_config(config_text(), name="m"), Placement(1))
    made.close()
    with pytest.raises(InferenceFailed):
        made.run(rows(1))


@pytest.mark.parametrize("plan", [SessionPlan(threads=2, wide=True), SessionPlan(patterns=False)])
def test_every_plan_answers_the_same(tmp_path: Path, plan: SessionPlan) -> None:
    path = onnx_models.write(onnx_models.slow(width=64), tmp_path / "m" / "1" / "model.onnx")
    x = np.random.default_rng(0).random((8, 64), dtype=np.float32)
    for _ in range(3):
        np.testing.assert_array_equal(open_session(path, "m", plan).run(None, {"x": x})[0], x)
