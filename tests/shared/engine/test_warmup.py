from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from services.shared.backends.base import Placement
from services.shared.backends.fake import FakeBackend, FakeModel, FakeScript
from services.shared.clock import ManualClock, SystemClock
from services.shared.config_pbtxt import parse_config
from services.shared.engine.warmup import used_sizes, warm, warmup_inputs
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


def test_every_used_size_runs_once_and_the_largest_first() -> None:
    settings = config(config_text(max_batch_size=4))
    model = load(settings)
    assert warm(model, settings, Path("m"), SystemClock()) == (1, 2, 3, 4)
    assert model.batches == [4, 3, 2, 1]


def test_slow_model_is_warmed_with_fewer_sizes() -> None:
    clock, settings = ManualClock(), config(config_text(max_batch_size=8))

    def slow(inputs: Tensors, version: int) -> Tensors:
        clock.advance(0.1 * len(inputs["x"]))
        return {"y": inputs["x"]}

    model = load(settings, FakeScript(compute=slow))
    assert warm(model, settings, Path("m"), clock) == (1, 2, 4, 8)
    assert model.batches == [8, 4, 2, 1]


def test_model_warmup_runs_as_often_as_it_says() -> None:
    entry = 'inputs { key: "x" value { data_type: TYPE_FP32 dims: [ 4 ] zero_data: true } }'
    settings = config(
        config_text(max_batch_size=2, more=f'model_warmup [ {{ name: "w" batch_size: 2 count: 3 {entry} }} ]')
    )
    model = load(settings)
    warm(model, settings, Path("m"), SystemClock())
    assert model.batches == [2, 1, 2, 2, 2]


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
