"""Models that are kept as the runtime optimises them."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from services.shared.backends import onnx_runtime_optimize
from services.shared.backends.base import Placement
from services.shared.backends.kept_graphs import GRAPH, Build, KeptGraphs
from services.shared.backends.onnx_runtime import OnnxRuntimeBackend
from services.shared.backends.onnx_runtime_cpu import open_cpu_model
from services.shared.backends.onnx_runtime_model import OnnxRuntimeModel
from services.shared.backends.onnx_runtime_optimize import processor
from services.shared.backends.onnx_runtime_session import open_session
from services.shared.backends.onnx_runtime_threads import Threads
from services.shared.clock import SystemClock
from services.shared.config_pbtxt import parse_config
from services.shared.errors import InferenceFailed
from services.shared.model_config import ModelConfig
from services.shared.tensors import Array
from tests.support import onnx_models
from tests.support.configs import config_text

CONVOLVED = config_text(dims="256, 8, 8", output_dims="512")
SHARED, OWN = "weights shared", "weights of its own"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return onnx_models.write(onnx_models.convolved(), tmp_path / "m" / "1" / "model.onnx")


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "kept"


def config(text: str = CONVOLVED) -> ModelConfig:
    return parse_config(text, name="m")


def load(path: Path, cache: Path | None, text: str = CONVOLVED) -> OnnxRuntimeModel:
    model = OnnxRuntimeBackend(cache).load(path, config(text), Placement(1))
    assert isinstance(model, OnnxRuntimeModel)
    return model


def inputs(batch: int) -> dict[str, Array]:
    return {"x": np.random.default_rng(batch).random((batch, 256, 8, 8), dtype=np.float32)}


def graphs(cache: Path) -> list[Path]:
    return list(cache.rglob(GRAPH)) if cache.exists() else []


def test_kept_model_answers_exactly_as_the_one_from_the_file(
    path: Path, cache: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    plain, kept = load(path, None), load(path, cache)
    assert (plain.notes[-1], kept.notes[-1]) == (OWN, SHARED)
    for batch in (1, 3, 8):
        np.testing.assert_array_equal(kept.run(inputs(batch))["y"], plain.run(inputs(batch))["y"])
    assert (kept.inputs, kept.outputs) == (plain.inputs, plain.outputs)
    assert capfd.readouterr().err == ""  # the runtime would warn that the file fits this machine only


def test_next_load_takes_what_the_first_one_kept(path: Path, cache: Path) -> None:
    load(path, cache)
    (graph,) = graphs(cache)
    made = graph.stat().st_ino
    assert load(path, cache).notes[-1] == SHARED
    assert [kept.stat().st_ino for kept in graphs(cache)] == [made]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_weights_are_mapped_not_copied(path: Path, cache: Path) -> None:
    model = load(path, cache)
    maps = Path("/proc/self/maps")
    assert f"{cache}" in maps.read_text()
    model.close()
    assert f"{cache}" not in maps.read_text()


def test_weights_that_were_damaged_on_disk_are_never_used(path: Path, cache: Path) -> None:
    load(path, cache).close()
    (weights,) = cache.rglob(f"{GRAPH}.data")
    weights.write_bytes(bytes(weights.stat().st_size))
    model = load(path, cache)
    assert model.notes[-1] == SHARED
    np.testing.assert_array_equal(model.run(inputs(2))["y"], load(path, None).run(inputs(2))["y"])


def test_new_weights_under_the_same_name_are_seen(path: Path, cache: Path) -> None:
    load(path, cache)
    changed = onnx_models.convolved()
    changed.graph.initializer[0].raw_data = bytes(len(changed.graph.initializer[0].raw_data))
    onnx_models.write(changed, path)
    assert not load(path, cache).run(inputs(1))["y"].any()


class Counting:
    """No two sessions answer alike."""

    answers = itertools.count()

    def __init__(self, session: Any) -> None:
        self._session = session

    def run(self, names: None, feed: dict[str, Array]) -> list[Array]:
        return [np.full((1, 512), next(self.answers), np.float32)]


def test_model_that_answers_otherwise_when_it_is_kept_is_loaded_from_its_file(
    path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(
            onnx_runtime_optimize, "open_session", lambda path, name, plan: Counting(open_session(path, name, plan))
        )
        assert load(path, cache).notes[-1] == OWN
    assert load(path, cache).notes[-1] == OWN  # it is remembered
    assert graphs(cache) == []


def test_small_model_is_not_kept(tmp_path: Path, cache: Path) -> None:
    path = onnx_models.write(onnx_models.scaled(2), tmp_path / "m" / "1" / "model.onnx")
    load(path, cache, config_text())
    assert graphs(cache) == []


def test_model_with_sizes_of_any_kind_is_not_kept(path: Path, cache: Path) -> None:
    assert load(path, cache, 'platform: "onnxruntime_onnx" max_batch_size: 8').notes[-1] == OWN
    assert graphs(cache) == []


class Vanishing(KeptGraphs):
    """Another process removes the graph before it is opened."""

    def find(self, source: Path, traits: str, build: Build) -> Path | None:
        graph = super().find(source, traits, build)
        assert graph is not None
        graph.unlink()
        return graph


def test_graph_that_is_gone_when_it_is_opened_costs_nothing_but_time(
    path: Path, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = open_cpu_model(path, config(), Threads(1, 1), kept=Vanishing(cache), clock=SystemClock())
    assert model.notes[-1] == OWN
    assert "without its kept graph" in caplog.text
    assert model.run(inputs(1))["y"].shape == (1, 512)


def test_damaged_model_is_refused_with_its_own_reason(path: Path, cache: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(InferenceFailed, match=r"model.onnx of m cannot be loaded"):
        load(path, cache)
    assert graphs(cache) == []


def test_config_that_does_not_fit_is_refused_with_its_own_reason(path: Path, cache: Path) -> None:
    with pytest.raises(InferenceFailed, match=r"has dims \[256, 8, 9\], but \[256, 8, 8\] in the file"):
        load(path, cache, config_text(dims="256, 8, 9", output_dims="512"))


def test_weights_in_files_of_their_own_are_kept_too(tmp_path: Path, cache: Path) -> None:
    path = tmp_path / "m" / "1" / "model.onnx"
    path.parent.mkdir(parents=True)
    onnx.save(onnx_models.convolved(), path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    kept = load(path, cache)
    assert kept.notes[-1] == SHARED
    np.testing.assert_array_equal(kept.run(inputs(2))["y"], load(path, None).run(inputs(2))["y"])


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("processor : 0\nmodel name : X\nflags : avx2\nbogomips : 1\n\nmodel name : Y", "model name : X\nflags : avx2"),
        ("processor : 0\nBogoMIPS : 1\nFeatures : asimd\nCPU part : 0xd0c", "Features : asimd\nCPU part : 0xd0c"),
    ],
)
def test_processor_is_known_by_what_it_can_do(tmp_path: Path, text: str, line: str) -> None:
    (tmp_path / "cpuinfo").write_text(text)
    assert processor(tmp_path / "cpuinfo").partition("\n")[2] == line


def test_processor_is_known_somehow_where_the_system_does_not_say(tmp_path: Path) -> None:
    assert processor(tmp_path / "cpuinfo") != ""
