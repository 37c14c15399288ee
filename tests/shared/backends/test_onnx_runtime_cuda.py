"""Which processor an ONNX model gets, and how a model on CUDA is made, over twins of both."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from services.shared.backends import onnx_runtime, onnx_runtime_cuda, onnx_runtime_session
from services.shared.backends.base import LoadedModel, Placement
from services.shared.backends.cuda_driver import Cuda
from services.shared.backends.laned_model import LanedModel
from services.shared.backends.onnx_runtime import OnnxRuntimeBackend
from services.shared.backends.onnx_runtime_model import OnnxRuntimeModel
from services.shared.config_pbtxt import parse_config
from services.shared.errors import InferenceFailed
from tests.support import onnx_models
from tests.support.configs import config_text
from tests.support.fake_cuda import FakeCudaLibrary
from tests.support.fake_cuda_session import FakeCudaSession

GRAPHS = 'parameters { key: "cuda_graphs" value { string_value: "true" } }'


class Machine:
    """With a runtime that has CUDA built in, and a GPU or none."""

    def __init__(self) -> None:
        self.library, self.sessions = FakeCudaLibrary(), list[FakeCudaSession]()
        self.asked: list[int] = []
        self.gpus = 2

    def find_gpu(self, index: int) -> Cuda:
        self.asked.append(index)
        if index >= self.gpus:
            raise InferenceFailed(f"there is no GPU {index}")
        return Cuda(FakeCudaLibrary(gpus=self.gpus) if index else self.library, index)

    def open_session(self, path: Path, name: str, device: int, stream: int | None, *, graphs: bool) -> FakeCudaSession:
        self.sessions.append(FakeCudaSession(stream))
        return self.sessions[-1]

    def load(self, directory: Path, more: str = "", text: str = "") -> LoadedModel:
        path = onnx_models.write(onnx_models.scaled(3), directory / "m" / "1" / "model.onnx")
        config = parse_config(text or config_text(more=more), name="m")
        return OnnxRuntimeBackend(find_gpu=self.find_gpu).load(path, config, Placement(2))


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    made = Machine()
    monkeypatch.setattr(onnx_runtime, "cuda_is_built_in", lambda: True)
    monkeypatch.setattr(onnx_runtime_cuda, "open_cuda_session", made.open_session)
    monkeypatch.setattr(onnx_runtime_cuda, "run_options", dict)
    yield made
    assert set(made.library.live.values()) == {0}, "what was made on the GPU was not freed"


def tripled(model: LoadedModel, batch: int) -> bool:
    x = np.random.default_rng(batch).random((batch, 4), dtype=np.float32)
    return bool(np.array_equal(model.run({"x": x})["y"], x * 3))


@pytest.mark.parametrize(
    ("kind", "gpus", "is_cuda"),
    [("KIND_GPU", 1, True), ("KIND_AUTO", 1, True), ("KIND_AUTO", 0, False), ("KIND_CPU", 1, False)],
)
def test_processor_follows_the_kind_and_what_there_is(
    machine: Machine, tmp_path: Path, kind: str, gpus: int, is_cuda: bool
) -> None:
    machine.gpus = gpus
    model = machine.load(tmp_path, f"instance_group [ {{ kind: {kind} count: 1 }} ]")
    assert isinstance(model, LanedModel) == is_cuda
    assert model.inline == (not is_cuda)
    assert tripled(model, 3)
    model.close()


def test_model_that_asks_for_a_gpu_is_refused_without_one(machine: Machine, tmp_path: Path) -> None:
    machine.gpus = 0
    with pytest.raises(InferenceFailed, match="instance_group asks for KIND_GPU, but there is no GPU 0"):
        machine.load(tmp_path, "instance_group [ { kind: KIND_GPU count: 1 } ]")


def test_two_lanes_each_with_a_session_and_a_stream_when_nothing_is_said(machine: Machine, tmp_path: Path) -> None:
    model = machine.load(tmp_path)
    streams = [session.stream for session in machine.sessions]
    assert (model.concurrency, streams[0], len(set(streams))) == (2, None, 3)  # the first one only tells the tensors
    model.close()


def test_graphs_are_recorded_for_the_sizes_that_repeat(machine: Machine, tmp_path: Path) -> None:
    model = machine.load(tmp_path, "instance_group [ { kind: KIND_GPU count: 1 } ]" + GRAPHS)
    assert all(tripled(model, batch) for batch in (8, 8, 1, 3))
    assert (machine.sessions[1].recorded, machine.sessions[1].repeated) == (["8", "1"], ["8"])
    model.close()


def test_only_the_first_gpu_of_several_is_used_and_said_so(machine: Machine, tmp_path: Path) -> None:
    model = machine.load(tmp_path, "instance_group [ { kind: KIND_GPU count: 1 gpus: [ 0, 1 ] } ]")
    assert machine.asked == [0]
    assert ["only GPU 0 is used" in warning for warning in model.warnings] == [True]
    model.close()


def test_gpu_that_runs_out_of_memory_for_the_second_lane_keeps_nothing(machine: Machine, tmp_path: Path) -> None:
    machine.library = FakeCudaLibrary(memory_bytes=300)  # a lane takes 2 x 8 x 4 numbers of 4 bytes
    with pytest.raises(InferenceFailed, match="out of memory"):
        machine.load(tmp_path)


def test_model_with_open_sizes_runs_without_bound_buffers(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeCudaSession, "row", ("width",))
    model = machine.load(tmp_path, text=config_text(dims="-1"))
    assert isinstance(model, OnnxRuntimeModel)
    assert (model.inline, model.concurrency) == (False, 1)
    assert tripled(model, 2)
    with pytest.raises(InferenceFailed, match="cuda_graphs needs a fixed size"):
        machine.load(tmp_path, text=config_text(dims="-1", more=GRAPHS))


def test_provider_that_does_not_start_is_not_replaced_by_the_cpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = onnx_models.write(onnx_models.scaled(3), tmp_path / "model.onnx")
    on_cpu = onnx_runtime_session.make_session

    def fall_back(path: Path, name: str, options: object, providers: object) -> object:
        return on_cpu(path, name, options, [onnx_runtime_session.CPU])

    monkeypatch.setattr(onnx_runtime_session, "make_session", fall_back)
    with pytest.raises(InferenceFailed, match="CUDA provider does not start"):
        onnx_runtime_session.open_cuda_session(path, "m", 0, None, graphs=False)
