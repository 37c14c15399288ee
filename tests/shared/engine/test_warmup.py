from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from services.shared.backends.base import Placement
from services.shared.backends.fake import FakeBackend, FakeModel, FakeScript
from services.shared.clock import ManualClock, SystemClock
from services.shared.config_pbtxt import parse_config
from services.shared.engine.batch_plan import paying_size
from services.shared.engine.warmup import expected_s, used_sizes, warm, warmup_inputs
from services.shared.errors import InferenceFailed
from services.shared.model_config import ModelConfig
from services.shared.tensors import NUMPY_DTYPES, Tensors
from tests.support.configs import config_text


def config(text: str) -> ModelConfig:
    return parse_config(text, name="m")


def load(settings: ModelConfig, script: FakeScript | None = None) -> FakeModel:
    return FakeBackend(script).load(Path("m/1/model.onnx"), settings, Placement(1))


@pytest.mark.parametrize(
    ("max_batch_size", "preferred", "largest_run_s", "sizes"),
    [
        (0, "", 99.0, (1,)),
        (1, "", 99.0, (1,)),
        (8, "", 0.0, (8, 7, 6, 5, 4, 3, 2, 1)),
        (8, "", 0.4, (8, 7, 6, 5, 4, 3, 2, 1)),  # 0.4 * 9 / 2 = 1.8 s
        (8, "", 0.5, (8, 4, 2, 1)),  # 2.25 s
        (32, "", 0.4, (32, 16, 8, 4, 2, 1)),
        (6, "", 9.0, (6, 4, 2, 1)),
        (6, "preferred_batch_size: [3, 5]", 9.0, (6, 5, 4, 3, 2, 1)),
    ],
)
def test_sizes_that_are_used(max_batch_size: int, preferred: str, largest_run_s: float, sizes: tuple[int, ...]) -> None:
    assert used_sizes(config(config_text(max_batch_size=max_batch_size, batching=preferred)), largest_run_s) == sizes


def timed(clock: ManualClock, seconds: Callable[[int], float], first_s: float = 0.0) -> FakeScript:
    """A batch takes this long by its size, and the first of each size `first_s` more."""
    seen: set[int] = set()

    def compute(inputs: Tensors, version: int) -> Tensors:
        size = len(inputs["x"])
        clock.advance(seconds(size) + (0.0 if size in seen else first_s))
        seen.add(size)
        return {"y": inputs["x"]}

    return FakeScript(compute=compute)


def test_sizes_whose_first_run_costs_no_more_than_others_are_not_run() -> None:
    clock, settings = ManualClock(), config(config_text(max_batch_size=8))
    model = load(settings, timed(clock, lambda size: 0.002 + 0.0001 * size, first_s=0.0005))
    took = warm(model, settings, Path("m"), clock)
    assert took == pytest.approx({size: 0.002 + 0.0001 * size for size in range(1, 9)})
    assert set(model.batches) == {1, 2, 4, 8}
    assert model.batches[0] == 8


def test_sizes_whose_first_run_is_dear_are_all_run() -> None:
    clock, settings = ManualClock(), config(config_text(max_batch_size=8))
    model = load(settings, timed(clock, lambda size: 0.0001 * size, first_s=0.02))
    took = warm(model, settings, Path("m"), clock)
    assert list(took) == list(range(1, 9))
    assert set(model.batches) == set(range(1, 9))
    assert {size: took[size] for size in (1, 2, 4, 8)} == pytest.approx({s: 0.0001 * s for s in (1, 2, 4, 8)})


def test_slow_model_is_warmed_with_fewer_sizes() -> None:
    clock, settings = ManualClock(), config(config_text(max_batch_size=8))
    model = load(settings, timed(clock, lambda size: 0.1 * size))
    assert warm(model, settings, Path("m"), clock) == pytest.approx({1: 0.1, 2: 0.2, 4: 0.4, 8: 0.8})
    assert model.batches == [8, 1, 8, 1, 4, 1, 2, 1]


def test_a_time_in_which_others_use_the_cores_does_not_make_a_large_size_seem_to_pay() -> None:
    clock, settings = ManualClock(), config(config_text(max_batch_size=8))
    runs = iter([1.0, 2.5, 1.0, 2.5, 2.5, 2.5, 1.0, 1.0])  # others came and went, mostly beside runs of one
    model = load(settings, timed(clock, lambda size: 0.1 * size * next(runs)))
    took = warm(model, settings, Path("m"), clock)
    assert took[1] == pytest.approx(0.1)
    assert paying_size(took) == 1


@pytest.mark.parametrize(("size", "seconds"), [(1, 1.0), (2, 2.0), (3, 2.5), (4, 3.0), (5, 3.5), (6, 4.0), (8, 5.0)])
def test_what_was_not_measured_lies_between_its_neighbours(size: int, seconds: float) -> None:
    assert expected_s({8: 5.0, 4: 3.0, 2: 2.0, 1: 1.0}, size) == pytest.approx(seconds)


def test_model_warmup_runs_as_often_as_it_says() -> None:
    entry = 'inputs { key: "x" value { data_type: TYPE_FP32 dims: [ 4 ] zero_data: true } }'
    settings = config(
        config_text(max_batch_size=2, more=f'model_warmup [ {{ name: "w" batch_size: 2 count: 3 {entry} }} ]')
    )
    model = load(settings)
    warm(model, settings, Path("m"), SystemClock())
    assert model.batches[-3:] == [2, 2, 2]
    assert model.batches.count(2) == model.batches.count(1) + 4  # the largest is run once more than the others


def test_inputs_of_any_size_are_run_by_model_warmup_only() -> None:
    entry = 'inputs { key: "x" value { data_type: TYPE_FP32 dims: [ 6 ] random_data: true } }'
    settings = config(config_text(max_batch_size=2, dims="-1", more=f'model_warmup [ {{ name: "w" {entry} }} ]'))
    model = load(settings)
    warm(model, settings, Path("m"), SystemClock())
    assert model.batches == [1]


def test_run_that_fails_says_with_which_size() -> None:
    def fail(inputs: Tensors, version: int) -> Tensors:
        raise InferenceFailed("out of memory")

    settings = config(config_text(max_batch_size=4))
    with pytest.raises(InferenceFailed, match="the first run of m with batch size 4 failed: out of memory"):
        warm(load(settings, FakeScript(compute=fail)), settings, Path("m"), SystemClock())


def entry_inputs(source: str, tmp_path: Path, datatype: str = "FP32", max_batch_size: int = 8, dims: str = "3") -> Any:
    value = f"data_type: TYPE_{'STRING' if datatype == 'BYTES' else datatype} dims: [ {dims} ] {source}"
    more = f'model_warmup [ {{ name: "w" batch_size: 2 inputs {{ key: "x" value {{ {value} }} }} }} ]'
    settings = config(config_text(datatype=datatype, dims="3", max_batch_size=max_batch_size, more=more))
    return warmup_inputs(settings.warmups[0], settings, tmp_path)["x"]


@pytest.mark.parametrize("datatype", list(NUMPY_DTYPES))
@pytest.mark.parametrize("source", ["zero_data: true", "random_data: true"])
def test_data_is_made_for_every_datatype(tmp_path: Path, source: str, datatype: str) -> None:
    made = entry_inputs(source, tmp_path, datatype)
    assert (made.shape, made.dtype) == ((2, 3), NUMPY_DTYPES[datatype])


def test_random_data_is_not_constant(tmp_path: Path) -> None:
    assert len(set(entry_inputs("random_data: true", tmp_path).ravel().tolist())) > 1


def test_model_without_batch_dimension_gets_none(tmp_path: Path) -> None:
    assert entry_inputs("zero_data: true", tmp_path, max_batch_size=0).shape == (3,)


def test_data_comes_from_a_file_in_the_warmup_directory(tmp_path: Path) -> None:
    (tmp_path / "warmup").mkdir()
    data = np.arange(6, dtype=np.float32)
    (tmp_path / "warmup" / "data").write_bytes(data.tobytes())
    np.testing.assert_array_equal(entry_inputs('input_data_file: "data"', tmp_path), data.reshape(2, 3))


@pytest.mark.parametrize(
    ("filename", "sentence"),
    [
        ("missing", "no file 'missing' in the model's warmup directory"),
        ("../secret", "no file '../secret' in the model's warmup directory"),
        ("short", "file 'short': 4 bytes of data"),
    ],
)
def test_file_that_cannot_be_used_is_named(tmp_path: Path, filename: str, sentence: str) -> None:
    (tmp_path / "warmup").mkdir()
    (tmp_path / "secret").write_bytes(bytes(24))
    (tmp_path / "warmup" / "short").write_bytes(bytes(4))
    with pytest.raises(InferenceFailed, match=f"m: model_warmup 'w'.*{sentence}"):
        entry_inputs(f'input_data_file: "{filename}"', tmp_path)


def test_dims_of_any_size_cannot_be_made_up(tmp_path: Path) -> None:
    with pytest.raises(InferenceFailed, match="needs dims without -1"):
        entry_inputs("zero_data: true", tmp_path, dims="-1")
