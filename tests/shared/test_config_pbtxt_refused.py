"""Every `config.pbtxt` that cannot be read or served, and how that is told."""

from __future__ import annotations

import pytest

from services.shared.config_pbtxt import parse_config
from services.shared.errors import InvalidInput
from services.shared.model_config import ModelConfig

ONNX = 'platform: "onnxruntime_onnx"\n'


def parse(text: str = "") -> ModelConfig:
    return parse_config(ONNX + text, name="m")


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("max_batch_size: many", "2:17"),
        ("max_batch_size: 9999999999", "2:17"),
        ("max_batch_sizes: 8", "2:1"),
        ('input {\n  name: "x\n}', "3:9"),
        ("input {", "2:7"),
        ("}", "2:1"),
        ("name: 3", "2:7"),
        ("instance_group { kind: KIND_QUANTUM }", "2:24"),
    ],
)
def test_a_syntax_error_is_told_with_line_and_column(text: str, where: str) -> None:
    with pytest.raises(InvalidInput, match=rf"^config\.pbtxt of m: {where} ?: "):
        parse(text)


INPUT = 'input {{ name: "x" data_type: TYPE_FP32 dims: 1 {} }}'


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ('name: "other"', "name is 'other', but the directory is 'm'"),
        ("max_batch_size: -1", "max_batch_size is -1: use 0 to 4096"),
        ("max_batch_size: 4097", "use 0 to 4096"),
        ("input { data_type: TYPE_FP32 dims: 1 }", "m: input: name is missing"),
        ('input { name: "x" dims: 1 }', "m: input x: data_type is missing"),
        ('output { name: "y" data_type: TYPE_INVALID dims: 1 }', "m: output y: data_type is missing"),
        ('input { name: "x" data_type: TYPE_FP32 dims: 0 }', "input x: dims must be positive, or -1"),
        ('input { name: "x" data_type: TYPE_FP32 dims: [ 3, -2 ] }', "dims must be positive, or -1"),
        ('output { name: "y" data_type: TYPE_FP32 dims: 1 label_filename: "../x" }', "must be a file name without"),
        ('default_model_filename: "a/b.onnx"', "must be a file name without directories"),
        (r'default_model_filename: "a\\b"', "must be a file name without directories"),
        ('default_model_filename: ".."', "must be a file name without directories"),
        ("version_policy { specific {} }", "version_policy.specific names no usable version"),
        ("version_policy { specific { versions: [ 1, 0 ] } }", "names no usable version"),
        ("max_batch_size: 4 dynamic_batching { preferred_batch_size: 8 }", "preferred_batch_size must lie between 1"),
        ("max_batch_size: 4 dynamic_batching { preferred_batch_size: 0 }", "preferred_batch_size must lie between 1"),
        ("dynamic_batching { default_priority_level: 1 }", "default_priority_level is above priority_levels"),
        ("instance_group { count: -1 }", "instance_group count is -1: use 0 to 64"),
        ("instance_group { count: 65 }", "use 0 to 64"),
        ('model_warmup { name: "w" inputs { key: "x" value { } } }', "model_warmup w: data_type is missing"),
        ('input { name: "x" data_type: 99 dims: 1 }', "input.data_type is a number that stands for nothing"),
        ("instance_group { kind: 99 }", "instance_group.kind is a number that stands for nothing"),
        (INPUT.format("format: 99"), "input.format is a number that stands for nothing"),
        (
            "dynamic_batching { default_queue_policy { timeout_action: 9 } }",
            "dynamic_batching.default_queue_policy.timeout_action is a number",
        ),
        (
            'model_warmup { name: "w" inputs { key: "x" value { data_type: 99 } } }',
            "model_warmup.inputs.data_type is a number",
        ),
    ],
)
def test_a_value_that_cannot_be_served_is_refused_by_field(text: str, match: str) -> None:
    with pytest.raises(InvalidInput, match=r"^config\.pbtxt of m") as refused:
        parse(text)
    assert match in refused.value.detail


@pytest.mark.parametrize("text", ["", "max_batch_size: 4"])
def test_a_config_without_platform_and_backend_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="set platform or backend"):
        parse_config(text, name="m")


def test_the_directory_must_have_a_models_name() -> None:
    with pytest.raises(InvalidInput, match="is not a model name"):
        parse_config(ONNX, name="../m")
