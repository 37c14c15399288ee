"""Every field of a `config.pbtxt` that is honoured, what is named as not honoured, and the whole as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format

from services.shared.config_pbtxt import config_to_json, parse_config
from services.shared.model_config import (
    Accelerator,
    DynamicBatching,
    InstanceGroup,
    ModelConfig,
    QueuePolicy,
    VersionPolicy,
    Warmup,
    WarmupInput,
)
from services.shared.tensors import TensorSpec

ONNX = 'platform: "onnxruntime_onnx"\n'
ROOT = Path(__file__).resolve().parent.parent.parent


def parse(text: str = "") -> ModelConfig:
    return parse_config(ONNX + text, name="m")


def test_an_almost_empty_config_has_tritons_defaults() -> None:
    config = parse()
    assert config.name == "m"
    assert (config.backend, config.platform, config.model_filename) == ("onnxruntime", "onnxruntime_onnx", "model.onnx")
    assert config.max_batch_size == 0
    assert config.version_policy == VersionPolicy(latest=1)
    assert config.batching is None
    assert (config.inputs, config.outputs, config.instances) == ((), (), ())
    assert (config.accelerators, config.warmups, config.unhonoured) == ((), (), ())
    assert (dict(config.label_files), dict(config.parameters)) == ({}, {})


@pytest.mark.parametrize(
    ("text", "backend", "platform", "filename"),
    [
        ('platform: "onnxruntime_onnx"', "onnxruntime", "onnxruntime_onnx", "model.onnx"),
        ('backend: "onnxruntime"', "onnxruntime", "onnxruntime_onnx", "model.onnx"),
        ('platform: "tensorrt_plan"', "tensorrt", "tensorrt_plan", "model.plan"),
        ('backend: "tensorrt"', "tensorrt", "tensorrt_plan", "model.plan"),
        ('backend: "fake"', "fake", "fake", "model"),
        ('backend: "onnxruntime" default_model_filename: "net.onnx"', "onnxruntime", "onnxruntime_onnx", "net.onnx"),
    ],
)
def test_platform_and_backend_stand_for_each_other(text: str, backend: str, platform: str, filename: str) -> None:
    config = parse_config(text, name="m")
    assert (config.backend, config.platform, config.model_filename) == (backend, platform, filename)


def test_tensors_are_read_with_their_datatypes_and_labels() -> None:
    config = parse("""
        max_batch_size: 16
        input [ { name: "image" data_type: TYPE_UINT8 format: FORMAT_NHWC dims: [ 28, 28, 1 ] },
                { name: "words" data_type: TYPE_STRING dims: [ -1 ] } ]
        output { name: "p" data_type: TYPE_FP32 dims: 10 label_filename: "labels.txt" }
        output { name: "e" data_type: TYPE_BF16 dims: [ 2, 3 ] }
    """)
    assert config.max_batch_size == 16
    assert config.inputs == (TensorSpec("image", "UINT8", (28, 28, 1)), TensorSpec("words", "BYTES", (-1,)))
    assert config.outputs == (TensorSpec("p", "FP32", (10,)), TensorSpec("e", "BF16", (2, 3)))
    assert dict(config.label_files) == {"p": "labels.txt"}
    assert config.unhonoured == ()


@pytest.mark.parametrize(
    ("text", "policy", "selected"),
    [
        ("", VersionPolicy(1), (9,)),
        ("version_policy {}", VersionPolicy(1), (9,)),
        ("version_policy { latest {} }", VersionPolicy(1), (9,)),
        ("version_policy { latest { num_versions: 2 } }", VersionPolicy(2), (3, 9)),
        ("version_policy { latest { num_versions: 7 } }", VersionPolicy(7), (1, 3, 9)),
        ("version_policy { all {} }", VersionPolicy(None), (1, 3, 9)),
        ("version_policy { specific { versions: [ 9, 1, 4 ] } }", VersionPolicy(None, (9, 1, 4)), (1, 9)),
    ],
)
def test_the_version_policy_selects_versions(text: str, policy: VersionPolicy, selected: tuple[int, ...]) -> None:
    config = parse(text)
    assert config.version_policy == policy
    assert config.version_policy.select((9, 1, 3)) == selected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("", DynamicBatching()),
        ("preferred_batch_size: [ 8, 2, 8 ]", DynamicBatching((2, 8))),
        ("max_queue_delay_microseconds: 500", DynamicBatching(max_queue_delay_us=500)),
        ("preserve_ordering: true", DynamicBatching(preserve_ordering=True)),
        (
            "priority_levels: 3 default_priority_level: 2",
            DynamicBatching(priority_levels=3, default_priority_level=2),
        ),
        (
            "default_queue_policy { timeout_action: DELAY default_timeout_microseconds: 7 "
            "allow_timeout_override: true max_queue_size: 9 }",
            DynamicBatching(queue_policy=QueuePolicy("DELAY", 7, True, 9)),
        ),
    ],
)
def test_dynamic_batching_is_read_field_by_field(body: str, expected: DynamicBatching) -> None:
    config = parse(f"max_batch_size: 8 dynamic_batching {{ {body} }}")
    assert config.batching == expected
    assert config.unhonoured == ()


def test_instances_accelerators_and_parameters_are_read() -> None:
    config = parse("""
        instance_group [ { count: 2 kind: KIND_CPU name: "cpu" }, { kind: KIND_GPU gpus: [ 0, 1 ] }, {} ]
        optimization { execution_accelerators {
            gpu_execution_accelerator { name: "tensorrt" parameters { key: "precision_mode" value: "FP16" } }
            cpu_execution_accelerator { name: "openvino" }
        } }
        parameters { key: "task" value { string_value: "classification" } }
        parameters { key: "fit" value { string_value: "cover" } }
    """)
    assert config.instances == (InstanceGroup("CPU", 2), InstanceGroup("GPU", 0, (0, 1)), InstanceGroup("AUTO", 0))
    assert config.accelerators == (
        Accelerator("cpu", "openvino", {}),
        Accelerator("gpu", "tensorrt", {"precision_mode": "FP16"}),
    )
    assert dict(config.parameters) == {"task": "classification", "fit": "cover"}
    assert config.unhonoured == ()


def test_warmups_are_read_with_their_sources() -> None:
    config = parse("""
        model_warmup { name: "first" batch_size: 4 count: 3
            inputs { key: "z" value { data_type: TYPE_FP32 dims: [ 2 ] zero_data: true } }
            inputs { key: "f" value { data_type: TYPE_STRING dims: [ 1 ] input_data_file: "seven" } }
            inputs { key: "r" value { data_type: TYPE_INT8 dims: [ 3, 4 ] random_data: true } } }
        model_warmup { name: "second" }
    """)
    inputs = (
        WarmupInput(TensorSpec("f", "BYTES", (1,)), "seven"),
        WarmupInput(TensorSpec("r", "INT8", (3, 4)), "random"),
        WarmupInput(TensorSpec("z", "FP32", (2,)), "zero"),
    )
    assert config.warmups == (Warmup("first", 4, 3, inputs), Warmup("second", 1, 1, ()))


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("sequence_batching { max_sequence_idle_microseconds: 5 }", "sequence_batching"),
        ("ensemble_scheduling { }", "ensemble_scheduling"),
        ("response_cache { enable: true }", "response_cache"),
        ('cc_model_filenames { key: "8.0" value: "x" }', "cc_model_filenames"),
        ('input { name: "x" data_type: TYPE_FP32 dims: 1 is_shape_tensor: true }', "input.is_shape_tensor"),
        ('input { name: "x" data_type: TYPE_FP32 dims: 1 optional: true }', "input.optional"),
        ('output { name: "y" data_type: TYPE_FP32 dims: 1 reshape { shape: [ 1 ] } }', "output.reshape"),
        (
            "dynamic_batching { priority_queue_policy { key: 1 value {} } }",
            "dynamic_batching.priority_queue_policy",
        ),
        ("instance_group { passive: true }", "instance_group.passive"),
        ("optimization { priority: PRIORITY_MAX }", "optimization.priority"),
        ("optimization { cuda { graphs: true } }", "optimization.cuda"),
    ],
)
def test_a_field_that_is_not_honoured_is_named(text: str, named: str) -> None:
    assert parse(text).unhonoured == (named,)


def test_several_such_fields_are_named_once_each_and_sorted() -> None:
    each = 'input { name: "%s" data_type: TYPE_FP32 dims: 1 optional: true }'
    assert parse(each % "x" + each % "y" + "ensemble_scheduling {}").unhonoured == (
        "ensemble_scheduling",
        "input.optional",
    )


def test_the_json_has_tritons_shape_with_numbers_as_numbers() -> None:
    document = config_to_json(
        parse("""
        max_batch_size: 8
        input { name: "x" data_type: TYPE_STRING format: FORMAT_NCHW dims: [ 3, 9007199254740993 ] }
        output { name: "y" data_type: TYPE_FP32 dims: [ -1 ] label_filename: "labels.txt" }
        dynamic_batching { max_queue_delay_microseconds: 9007199254740993 preferred_batch_size: [ 4, 8 ] }
        instance_group { kind: KIND_CPU count: 2 }
        version_policy { specific { versions: [ 9007199254740993 ] } }
        model_warmup { name: "w" inputs { key: "x" value { data_type: TYPE_FP32 dims: 2 zero_data: true } } }
        parameters { key: "task" value { string_value: "t" } }
    """)
    )
    assert json.loads(json.dumps(document)) == document  # plain values only
    assert document["name"] == "m"
    assert document["backend"] == "onnxruntime"
    assert document["max_batch_size"] == 8
    [given], [made] = document["input"], document["output"]
    assert (given["data_type"], given["format"], given["dims"]) == ("TYPE_STRING", "FORMAT_NCHW", [3, 2**53 + 1])
    assert (made["dims"], made["label_filename"]) == ([-1], "labels.txt")
    assert document["dynamic_batching"]["max_queue_delay_microseconds"] == 2**53 + 1
    assert document["dynamic_batching"]["preferred_batch_size"] == [4, 8]
    assert document["instance_group"][0]["kind"] == "KIND_CPU"
    assert document["instance_group"][0]["count"] == 2
    assert document["version_policy"] == {"specific": {"versions": [2**53 + 1]}}
    assert document["parameters"] == {"task": {"string_value": "t"}}
    warmup = document["model_warmup"][0]["inputs"]["x"]
    assert warmup["zero_data"] is True
    assert "random_data" not in warmup  # of a choice only what was chosen
    assert "optimization" not in document
    assert "sequence_batching" not in document


def test_defaults_are_written_out_and_no_number_is_text() -> None:
    def leaves(value: Any) -> list[Any]:
        if isinstance(value, dict):
            return [leaf for each in value.values() for leaf in leaves(each)]
        return [leaf for each in value for leaf in leaves(each)] if isinstance(value, list) else [value]

    text = (ROOT / "models" / "digits" / "config.pbtxt").read_text()
    document = config_to_json(parse_config(text, name="digits"))
    assert not [leaf for leaf in leaves(document) if isinstance(leaf, str) and leaf.lstrip("-").isdigit()]
    assert config_to_json(parse())["max_batch_size"] == 0


def test_the_message_can_be_handed_on_with_name_and_backend_filled_in() -> None:
    again = parse_config(text_format.MessageToString(parse("max_batch_size: 2").message), name="m")
    assert (again.name, again.backend, again.max_batch_size) == ("m", "onnxruntime", 2)
    assert again == parse_config('name: "m" backend: "onnxruntime" max_batch_size: 2 ' + ONNX, name="m")
