"""Lanes of CUDA over twins of the driver and of ONNX Runtime's sessions; tests/gpu has the real ones."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import ml_dtypes
import numpy as np
import pytest

from services.shared.backends.cuda_driver import Cuda
from services.shared.backends.laned_model import LanedModel
from services.shared.backends.onnx_runtime_cuda import bindings_of, can_be_bound
from services.shared.backends.onnx_runtime_lane import CudaLane
from services.shared.backends.onnx_runtime_session import provider_options
from services.shared.backends.turns import Turns
from services.shared.errors import InferenceFailed
from services.shared.tensors import TensorSpec
from tests.support.fake_cuda import FakeCudaLibrary
from tests.support.fake_cuda_session import FakeCudaSession

X, Y = TensorSpec("x", "FP32", (4,)), TensorSpec("y", "FP32", (4,))
Make = Callable[..., CudaLane]


class Lanes:
    """Makes lanes, and keeps what they were made with."""

    def __init__(self) -> None:
        self.library, self.turns = FakeCudaLibrary(), Turns()
        self.cuda = Cuda(self.library, 0)
        self.sessions: list[FakeCudaSession] = []
        self.lanes: list[CudaLane] = []

    def open(self, stream: int) -> FakeCudaSession:
        self.sessions.append(FakeCudaSession(stream))
        return self.sessions[-1]

    def make(
        self,
        sizes: frozenset[int] = frozenset(),
        *,
        largest: int = 8,
        specs: tuple[TensorSpec, TensorSpec] = (X, Y),
        open_session: Callable[[int], FakeCudaSession] | None = None,
    ) -> CudaLane:
        bindings = bindings_of(specs[:1], specs[1:], largest)
        lane = CudaLane(
            self.cuda,
            0,
            open_session or self.open,
            dict,
            bindings,
            graph_sizes=sizes,
            turns=self.turns,
            batched=largest > 0,
        )
        self.lanes.append(lane)
        return lane


@pytest.fixture
def made() -> Iterator[Lanes]:
    lanes = Lanes()
    yield lanes
    for lane in lanes.lanes:
        lane.close()
    assert set(lanes.library.live.values()) == {0}, "what was made on the GPU was not freed"


def tripled(lane: CudaLane, batch: int) -> bool:
    x = np.random.default_rng(batch).random((batch, 4), dtype=np.float32)
    return bool(np.array_equal(lane.run({"x": x}, batch)["y"], x * 3))


def test_every_batch_size_runs_in_the_same_memory(made: Lanes) -> None:
    lane = made.make()
    assert all(tripled(lane, batch) for batch in (1, 8, 3, 8, 1))
    assert made.sessions[0].plain == 5
    assert (made.library.live["device"], made.library.live["pinned"]) == (2, 2)


def test_outputs_stay_as_they_are_when_the_next_run_comes(made: Lanes) -> None:
    lane = made.make()
    first = lane.run({"x": np.ones((1, 4), np.float32)}, 1)["y"]
    lane.run({"x": np.zeros((1, 4), np.float32)}, 1)
    np.testing.assert_array_equal(first, np.full((1, 4), 3))


def test_recorded_sizes_are_repeated_and_others_are_not(made: Lanes) -> None:
    lane = made.make(frozenset({1, 8}))
    session = made.sessions[0]
    assert all(tripled(lane, batch) for batch in (8, 8, 3, 1, 8, 1, 3))
    assert (session.recorded, session.repeated, session.plain) == (["8", "1"], ["8", "8", "1"], 2)


def test_recording_lane_runs_on_one_thread_whoever_calls(made: Lanes) -> None:
    lane = made.make(frozenset({2}))
    for _ in range(4):
        with ThreadPoolExecutor(1) as thread:  # a new thread each time; the twin refuses a graph of another's
            assert thread.submit(tripled, lane, 2).result()
    assert made.sessions[0].repeated == ["2"] * 3


def test_nothing_else_runs_while_a_graph_is_recorded(made: Lanes) -> None:
    recording, other = made.make(frozenset({1})), made.make()
    began, finish, overlapped = threading.Event(), threading.Event(), threading.Event()

    def hold(graph: str) -> None:
        began.set()
        assert finish.wait(20)

    made.sessions[0].during = hold
    made.sessions[1].during = lambda graph: overlapped.set()
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(tripled, recording, 1)
        assert began.wait(20)
        second = threads.submit(tripled, other, 1)
        assert not overlapped.wait(0.05)
        finish.set()
        assert first.result(20)
        assert second.result(20)
    assert overlapped.is_set()


def test_two_lanes_run_at_the_same_time(made: Lanes) -> None:
    lanes = [made.make(), made.make()]
    both = threading.Barrier(2)
    for session in made.sessions:
        session.during = lambda graph: both.wait(20)
    model = LanedModel(lanes, (X,), (Y,), batched=True)
    with ThreadPoolExecutor(2) as threads:
        answers = list(threads.map(lambda i: model.run({"x": np.full((1, 4), i, np.float32)})["y"], range(2)))
    np.testing.assert_array_equal(np.concatenate(answers)[:, 0], [0, 3])
    assert (model.concurrency, made.sessions[0].stream == made.sessions[1].stream) == (2, False)


def test_run_that_fails_says_why_and_the_next_one_succeeds(made: Lanes) -> None:
    lane = made.make(frozenset({2}))
    made.sessions[0].error = RuntimeError("CUDA failure 900")
    with pytest.raises(InferenceFailed, match=r"batch size 2 on CUDA failed: CUDA failure 900; .* set cuda_graphs"):
        tripled(lane, 2)
    assert tripled(lane, 2)
    assert made.sessions[0].recorded == ["2"]


def test_batch_that_is_too_large_is_refused(made: Lanes) -> None:
    with pytest.raises(InferenceFailed, match="a batch of 9 is larger"):
        tripled(made.make(), 9)


def test_gpu_without_memory_leaves_nothing_behind() -> None:
    lanes = Lanes()
    lanes.cuda = Cuda(library := FakeCudaLibrary(memory_bytes=200), 0)
    with pytest.raises(InferenceFailed, match="out of memory"):
        lanes.make(frozenset({1}))
    assert set(library.live.values()) == {0}


def test_session_that_cannot_be_opened_leaves_nothing_behind(made: Lanes) -> None:
    def fail(stream: int) -> FakeCudaSession:
        raise InferenceFailed("no CUDA provider")

    with pytest.raises(InferenceFailed, match="no CUDA provider"):
        made.make(open_session=fail)
    assert set(made.library.live.values()) == {0}


def test_bfloat16_and_half_are_bound_as_what_they_are(made: Lanes) -> None:
    half = (TensorSpec("x", "FP16", (4,)), TensorSpec("y", "FP16", (4,)))
    x = np.ones((2, 4), np.float16)
    np.testing.assert_array_equal(made.make(specs=half).run({"x": x}, 2)["y"], x * 3)
    brain = (TensorSpec("x", "BF16", (4,)), TensorSpec("y", "BF16", (4,)))
    lane = made.make(specs=brain, open_session=lambda stream: FakeCudaSession(stream, factor=1))
    y = lane.run({"x": x.astype(ml_dtypes.bfloat16)}, 2)["y"]
    assert y.dtype == ml_dtypes.bfloat16
    np.testing.assert_array_equal(y, x.astype(ml_dtypes.bfloat16))


def test_model_without_batches_runs_in_its_own_shape(made: Lanes) -> None:
    lane = made.make(largest=0)
    x = np.arange(4, dtype=np.float32)
    np.testing.assert_array_equal(lane.run({"x": x}, 1)["y"], x * 3)


@pytest.mark.parametrize(
    ("stream", "graphs", "options"),
    [
        (None, False, {"device_id": "1"}),
        (None, True, {"device_id": "1"}),  # without a stream nothing is bound, so nothing can be recorded
        (77, False, {"device_id": "1", "user_compute_stream": "77"}),
        (77, True, {"device_id": "1", "user_compute_stream": "77", "enable_cuda_graph": "1"}),
    ],
)
def test_provider_gets_the_stream_and_graphs(stream: int | None, graphs: bool, options: dict[str, str]) -> None:
    assert provider_options(1, stream, graphs=graphs) == options


@pytest.mark.parametrize(
    ("spec", "bound"),
    [(X, True), (TensorSpec("x", "FP32", (-1,)), False), (TensorSpec("x", "BYTES", (1,)), False)],
)
def test_only_tensors_of_known_size_are_bound(spec: TensorSpec, bound: bool) -> None:
    assert can_be_bound([Y, spec]) == bound
