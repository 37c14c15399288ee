"""A model's `config.pbtxt`, read with the schema that ships in tritonclient.

Pure: text in, values out. Fields that are set and not honoured are listed in `ModelConfig.unhonoured`, to be named in
a warning when the model loads. Schema: triton-inference-server/common `protobuf/model_config.proto`.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import tritonclient
from google.protobuf import text_format
from google.protobuf.message import Message

from services.shared.errors import InvalidInput
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
from services.shared.model_ref import MAX_VERSION, check_model_name
from services.shared.tensors import BYTES, NUMPY_DTYPES, TensorSpec


def _schema() -> Any:
    """The module with the messages. Imported as usual it comes with tritonclient's gRPC client, 50 ms and 10 MB that
    a process with its own models does without; under its usual name it is the one that such a client finds later."""
    name = "tritonclient.grpc.model_config_pb2"
    if name not in sys.modules:
        path = Path(tritonclient.__path__[0], "grpc", "model_config_pb2.py")
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None or spec.loader is None:
            raise ImportError(f"tritonclient has no {path.name}", name=name)
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


model_config_pb2 = _schema()

MAX_BATCH_SIZE = 4096
MAX_INSTANCES = 64

_BACKENDS = {"onnxruntime_onnx": "onnxruntime", "tensorrt_plan": "tensorrt"}  # platform -> backend
_FILENAMES = {"onnxruntime": "model.onnx", "tensorrt": "model.plan"}

# The tree of fields that this server acts on. None: the whole message; a dict: only these fields of it.
_HONOURED: dict[str, Any] = {
    "name": None,
    "platform": None,
    "backend": None,
    "version_policy": None,
    "max_batch_size": None,
    "input": {"name": None, "data_type": None, "dims": None, "format": None},
    "output": {"name": None, "data_type": None, "dims": None, "label_filename": None},
    "dynamic_batching": {
        "preferred_batch_size": None,
        "max_queue_delay_microseconds": None,
        "preserve_ordering": None,
        "priority_levels": None,
        "default_priority_level": None,
        "default_queue_policy": None,
    },
    "instance_group": {"name": None, "count": None, "kind": None, "gpus": None},
    "optimization": {"execution_accelerators": None},
    "default_model_filename": None,
    "model_warmup": None,
    "parameters": None,
}


def parse_config(text: str, *, name: str) -> ModelConfig:
    """The config in a `config.pbtxt` of the model in directory `name`.

    Raises InvalidInput with line and column for a syntax error, or with the field for a value that cannot be.
    """
    message = model_config_pb2.ModelConfig()
    try:
        text_format.Parse(text, message)
    except text_format.ParseError as error:
        raise InvalidInput(f"config.pbtxt of {name}: {error}") from error
    return config_from_message(message, name=name)


def config_from_message(message: Any, *, name: str) -> ModelConfig:
    """The values of a ModelConfig protobuf; raises InvalidInput for one that cannot be served."""
    check_model_name(name)
    for path in _unknown_words(message, ""):
        raise InvalidInput(f"config.pbtxt of {name}: {path} is a number that stands for nothing: use a word")
    if message.name not in ("", name):
        raise InvalidInput(f"config.pbtxt of {name}: name is {message.name!r}, but the directory is {name!r}")
    if not 0 <= message.max_batch_size <= MAX_BATCH_SIZE:
        raise InvalidInput(
            f"config.pbtxt of {name}: max_batch_size is {message.max_batch_size}: use 0 to {MAX_BATCH_SIZE}"
        )
    backend = message.backend or _BACKENDS.get(message.platform, message.platform)
    if not backend:
        raise InvalidInput(f"config.pbtxt of {name}: set platform or backend (one of {', '.join(_BACKENDS)})")
    whole = model_config_pb2.ModelConfig()
    whole.CopyFrom(message)
    whole.name, whole.backend = name, backend
    return ModelConfig(
        name=name,
        backend=backend,
        platform=message.platform or next((p for p, b in _BACKENDS.items() if b == backend), backend),
        max_batch_size=message.max_batch_size,
        inputs=tuple(_tensor_spec(t, f"{name}: input") for t in message.input),
        outputs=tuple(_tensor_spec(t, f"{name}: output") for t in message.output),
        label_files={t.name: _plain_filename(t.label_filename, name) for t in message.output if t.label_filename},
        version_policy=_version_policy(message, name),
        batching=_batching(message, name),
        instances=tuple(_instance_group(group, name) for group in message.instance_group),
        accelerators=tuple(_accelerators(message.optimization.execution_accelerators)),
        warmups=tuple(_warmup(w, name) for w in message.model_warmup),
        parameters={key: value.string_value for key, value in sorted(message.parameters.items())},
        model_filename=_plain_filename(message.default_model_filename or _FILENAMES.get(backend, "model"), name),
        unhonoured=tuple(sorted(set(_unhonoured(message, _HONOURED, "")))),
        message=whole,
    )


def _plain_filename(filename: str, name: str) -> str:
    if not filename or "/" in filename or "\\" in filename or filename.startswith("."):
        raise InvalidInput(f"config.pbtxt of {name}: {filename!r} must be a file name without directories")
    return filename


def _datatype(number: int, where: str) -> str:
    word = model_config_pb2.DataType.Name(number).removeprefix("TYPE_")
    datatype = BYTES if word == "STRING" else word
    if datatype not in NUMPY_DTYPES:
        raise InvalidInput(f"config.pbtxt of {where}: data_type is missing")
    return datatype


def _tensor_spec(message: Any, where: str) -> TensorSpec:
    if not message.name:
        raise InvalidInput(f"config.pbtxt of {where}: name is missing")
    if any(d == 0 or d < -1 for d in message.dims):
        raise InvalidInput(f"config.pbtxt of {where} {message.name}: dims must be positive, or -1 for any size")
    return TensorSpec(message.name, _datatype(message.data_type, f"{where} {message.name}"), tuple(message.dims))


def _version_policy(message: Any, name: str) -> VersionPolicy:
    match message.version_policy.WhichOneof("policy_choice"):
        case "all":
            return VersionPolicy(latest=None)
        case "specific":
            versions = tuple(message.version_policy.specific.versions)
            if not versions or any(not 1 <= v <= MAX_VERSION for v in versions):
                raise InvalidInput(f"config.pbtxt of {name}: version_policy.specific names no usable version")
            return VersionPolicy(latest=None, specific=versions)
        case "latest":
            return VersionPolicy(latest=message.version_policy.latest.num_versions or 1)
        case _:
            return VersionPolicy()


def _batching(message: Any, name: str) -> DynamicBatching | None:
    if not message.HasField("dynamic_batching"):
        return None
    batching, policy = message.dynamic_batching, message.dynamic_batching.default_queue_policy
    sizes = tuple(sorted(set(batching.preferred_batch_size)))
    if sizes and not 1 <= sizes[0] <= sizes[-1] <= max(message.max_batch_size, 1):
        raise InvalidInput(f"config.pbtxt of {name}: preferred_batch_size must lie between 1 and max_batch_size")
    if batching.default_priority_level > batching.priority_levels:
        raise InvalidInput(f"config.pbtxt of {name}: default_priority_level is above priority_levels")
    return DynamicBatching(
        preferred_batch_sizes=sizes,
        max_queue_delay_us=batching.max_queue_delay_microseconds,
        preserve_ordering=batching.preserve_ordering,
        priority_levels=batching.priority_levels,
        default_priority_level=batching.default_priority_level,
        queue_policy=QueuePolicy(
            timeout_action=type(policy).TimeoutAction.Name(policy.timeout_action),
            default_timeout_us=policy.default_timeout_microseconds,
            allow_timeout_override=policy.allow_timeout_override,
            max_queue_size=policy.max_queue_size,
        ),
    )


def _instance_group(group: Any, name: str) -> InstanceGroup:
    if not 0 <= group.count <= MAX_INSTANCES:
        raise InvalidInput(f"config.pbtxt of {name}: instance_group count is {group.count}: use 0 to {MAX_INSTANCES}")
    return InstanceGroup(
        kind=type(group).Kind.Name(group.kind).removeprefix("KIND_"), count=group.count, gpus=tuple(group.gpus)
    )


def _accelerators(message: Any) -> Iterator[Accelerator]:
    for device in ("cpu", "gpu"):
        for each in getattr(message, f"{device}_execution_accelerator"):
            yield Accelerator(device, each.name, dict(each.parameters))


def _warmup(message: Any, name: str) -> Warmup:
    inputs = []
    for key, value in sorted(message.inputs.items()):
        spec = TensorSpec(key, _datatype(value.data_type, f"{name}: model_warmup {message.name}"), tuple(value.dims))
        source = {"zero_data": "zero", "random_data": "random", "input_data_file": value.input_data_file}[
            value.WhichOneof("input_data_type") or "zero_data"
        ]
        inputs.append(WarmupInput(spec, source))
    return Warmup(message.name, max(message.batch_size, 1), max(message.count, 1), tuple(inputs))


def _unhonoured(message: Message, honoured: Mapping[str, Any], prefix: str) -> Iterator[str]:
    for descriptor, value in message.ListFields():
        path = prefix + descriptor.name
        if descriptor.name not in honoured:
            yield path
        elif honoured[descriptor.name] is not None:
            for each in value if isinstance(value, Sequence) else (value,):
                yield from _unhonoured(each, honoured[descriptor.name], path + ".")


def _unknown_words(message: Message, prefix: str) -> Iterator[str]:
    """The enum fields that hold a number without a name, which protobuf takes and keeps."""
    for descriptor, value in message.ListFields():
        path = prefix + descriptor.name
        values = value.values() if isinstance(value, Mapping) else value if descriptor.is_repeated else (value,)
        for each in values:
            if isinstance(each, Message):
                yield from _unknown_words(each, path + ".")
            elif descriptor.enum_type and each not in descriptor.enum_type.values_by_number:
                yield path


def config_to_json(config: ModelConfig) -> dict[str, Any]:
    """The config as Triton's REST extension gives it: proto field names, 64-bit integers as numbers."""
    return _json(config.message)


def _json(value: Any) -> dict[str, Any]:
    """A protobuf message as plain JSON values. json_format would write 64-bit integers as strings; Triton does not."""
    document: dict[str, Any] = {}
    for descriptor in value.DESCRIPTOR.fields:
        oneof_unset = descriptor.containing_oneof and not value.HasField(descriptor.name)
        if oneof_unset:
            continue
        item = getattr(value, descriptor.name)
        if descriptor.message_type and descriptor.message_type.GetOptions().map_entry:
            is_message = descriptor.message_type.fields_by_name["value"].message_type
            document[descriptor.name] = {str(k): _json(v) if is_message else v for k, v in item.items()}
        elif descriptor.message_type and descriptor.is_repeated:
            document[descriptor.name] = [_json(each) for each in item]
        elif descriptor.message_type:
            if value.HasField(descriptor.name):
                document[descriptor.name] = _json(item)
        elif descriptor.enum_type:
            names = descriptor.enum_type.values_by_number
            document[descriptor.name] = (
                [names[each].name for each in item] if descriptor.is_repeated else names[item].name
            )
        else:
            document[descriptor.name] = list(item) if descriptor.is_repeated else item
    return document
