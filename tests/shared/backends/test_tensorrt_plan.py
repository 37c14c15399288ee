from __future__ import annotations

from dataclasses import replace

import pytest

from services.shared.backends.tensorrt_plan import (
    BatchProfile,
    EngineInfo,
    Machine,
    Step,
    batch_profile,
    choose_concurrency,
    choose_gpu,
    engine_key,
    graph_sizes,
    input_profile,
    mismatch,
    next_step,
    onnx_flaw,
)
from services.shared.config_pbtxt import parse_config
from services.shared.errors import InferenceFailed
from services.shared.model_config import ModelConfig
from tests.support.configs import config_text

INFO = EngineInfo("tensorrt", "11.4.0.106", "9.0", "NVIDIA H200", "fp16", "ab" * 32, BatchProfile(1, 8, 32))
MACHINE = Machine("tensorrt", "11.4.0.106", "9.0", "NVIDIA H200")


def config(more: str = "", *, batching: str | None = None, max_batch_size: int = 32) -> ModelConfig:
    return parse_config(config_text(more=more, batching=batching, max_batch_size=max_batch_size), name="m")


@pytest.mark.parametrize(
    ("largest", "preferred", "profile"),
    [
        (0, (), None),  # no batch dimension
        (1, (), BatchProfile(1, 1, 1)),
        (32, (), BatchProfile(1, 32, 32)),
        (32, (4, 16), BatchProfile(1, 16, 32)),
        (8, (16,), BatchProfile(1, 8, 8)),  # tuned for no more than it takes
    ],
)
def test_profile_covers_every_batch(largest: int, preferred: tuple[int, ...], profile: BatchProfile | None) -> None:
    assert batch_profile(largest, preferred) == profile


@pytest.mark.parametrize(
    ("shape", "batch", "shapes"),
    [
        ((-1, 28, 28, 1), BatchProfile(1, 8, 32), ((1, 28, 28, 1), (8, 28, 28, 1), (32, 28, 28, 1))),
        ((-1,), BatchProfile(1, 1, 1), ((1,), (1,), (1,))),
        ((28, 28), None, None),
        ((), None, None),
    ],
)
def test_input_has_a_shape_for_each_size_of_the_profile(
    shape: tuple[int, ...], batch: BatchProfile | None, shapes: object
) -> None:
    assert input_profile("x", shape, batch) == shapes


@pytest.mark.parametrize(
    ("shape", "batch", "sentence"),
    [
        ((-1, 3, -1, -1), BatchProfile(1, 8, 32), "only the batch may be of any size"),
        ((1, 3), BatchProfile(1, 8, 32), "export it with a dynamic first dimension"),
        ((), BatchProfile(1, 8, 32), "export it with a dynamic first dimension"),
        ((-1, 3), None, "every size must be fixed"),
    ],
)
def test_input_of_unbounded_size_is_refused(shape: tuple[int, ...], batch: BatchProfile | None, sentence: str) -> None:
    with pytest.raises(InferenceFailed, match=f"input 'x' has the shape .*{sentence}"):
        input_profile("x", shape, batch)


@pytest.mark.parametrize(
    ("info", "machine", "largest", "reason"),
    [
        (INFO, MACHINE, 32, None),
        (INFO, MACHINE, 8, None),
        (INFO, replace(MACHINE, gpu="NVIDIA H100"), 32, None),  # another card of the same capability
        (replace(INFO, batch=None), MACHINE, 0, None),
        (None, MACHINE, 32, None),  # made elsewhere: TensorRT will tell
        (
            INFO,
            replace(MACHINE, version="11.5.0.1"),
            32,
            "it was built by tensorrt 11.4.0.106, and this is tensorrt 11.5",
        ),
        (INFO, replace(MACHINE, runtime="tensorrt_rtx"), 32, "and this is tensorrt_rtx 11.4.0.106"),
        (
            INFO,
            replace(MACHINE, compute_capability="8.6", gpu="NVIDIA A10"),
            32,
            "for compute capability 9.0 (NVIDIA H200), and this GPU has 8.6 (NVIDIA A10)",
        ),
        (INFO, MACHINE, 64, "it takes batches up to 32, and max_batch_size is 64"),
    ],
)
def test_engine_fits_the_machine_that_it_was_built_for(
    info: EngineInfo | None, machine: Machine, largest: int, reason: str | None
) -> None:
    found = mismatch(info, machine, largest)
    assert found is None if reason is None else reason in (found or "")


@pytest.mark.parametrize(
    ("info", "sha256", "flaw"),
    [
        (INFO, INFO.onnx_sha256, None),
        (None, "cd" * 32, None),
        (INFO, "cd" * 32, "the model.onnx beside it is not the file that it was built from"),
        (INFO, None, "there is no model.onnx beside it"),
        (None, None, "there is no model.onnx beside it"),
    ],
)
def test_onnx_file_stands_in_when_it_is_the_engines_own(info: EngineInfo | None, sha256: str | None, flaw: str) -> None:
    assert onnx_flaw(info, sha256) == flaw


@pytest.mark.parametrize(
    ("obstacle", "misfit", "flaw", "has_fallback", "step"),
    [
        (None, None, None, True, "load"),
        (None, None, "no file", False, "load"),
        (None, "older", None, False, "rebuild"),
        (None, "older", None, True, "rebuild"),
        (None, "older", "no file", True, "refuse"),
        ("no GPU", None, None, True, "fall back"),
        ("no GPU", "older", None, True, "fall back"),
        ("no GPU", None, None, False, "refuse"),
        ("no GPU", None, "no file", True, "refuse"),
    ],
)
def test_step_follows_from_what_is_there(
    obstacle: str | None, misfit: str | None, flaw: str | None, has_fallback: bool, step: Step
) -> None:
    assert next_step(obstacle, misfit, flaw, has_fallback=has_fallback) == step


@pytest.mark.parametrize("info", [INFO, replace(INFO, batch=None)])
def test_record_is_read_as_it_was_written(info: EngineInfo) -> None:
    assert EngineInfo.from_json(info.to_json()) == info


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"batch": 3}', '{"batch": null, "gpu": "x"}', INFO.to_json()[:-3]])
def test_record_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InferenceFailed, match="the record of the engine cannot be read"):
        EngineInfo.from_json(text)


def test_engines_for_different_machines_networks_or_batches_are_kept_apart() -> None:
    keys = {
        engine_key(MACHINE, "ab", BatchProfile(1, 8, 32)),
        engine_key(MACHINE, "ab", BatchProfile(1, 8, 64)),
        engine_key(MACHINE, "ab", None),
        engine_key(MACHINE, "cd", None),
        engine_key(replace(MACHINE, gpu="NVIDIA H100"), "cd", None),
    }
    assert len(keys) == 5
    assert engine_key(MACHINE, "ab", None) in keys


@pytest.mark.parametrize(
    ("more", "concurrency"), [("", 2), ("instance_group [ { count: 3 } ]", 3), ("instance_group [ { count: 1 } ]", 1)]
)
def test_concurrency_is_the_number_of_instances(more: str, concurrency: int) -> None:
    assert choose_concurrency(config(more)) == concurrency


@pytest.mark.parametrize(
    ("more", "gpu", "warnings"),
    [
        ("", 0, 0),
        ("instance_group [ { kind: KIND_GPU gpus: [ 1 ] } ]", 1, 0),
        ("instance_group [ { kind: KIND_GPU gpus: [ 2, 1 ] } ]", 1, 1),
    ],
)
def test_one_gpu_is_used_and_others_are_warned_of(more: str, gpu: int, warnings: int) -> None:
    index, said = choose_gpu(config(more))
    assert (index, len(said)) == (gpu, warnings)


@pytest.mark.parametrize(
    ("word", "batching", "largest", "sizes"),
    [
        (None, None, 32, set()),
        ("false", None, 32, set()),
        ("true", None, 32, {1, 32}),
        ("true", "preferred_batch_size: [ 4, 8 ]", 32, {1, 4, 8, 32}),
        ("true", None, 0, {1}),
    ],
)
def test_graphs_are_recorded_for_the_sizes_that_matter(
    word: str | None, batching: str | None, largest: int, sizes: set[int]
) -> None:
    more = "" if word is None else f'parameters {{ key: "cuda_graphs" value {{ string_value: "{word}" }} }}'
    assert graph_sizes(config(more, batching=batching, max_batch_size=largest)) == sizes


def test_word_that_is_neither_true_nor_false_is_refused() -> None:
    with pytest.raises(InferenceFailed, match="cuda_graphs is 'yes': use true or false"):
        graph_sizes(config('parameters { key: "cuda_graphs" value { string_value: "yes" } }'))
