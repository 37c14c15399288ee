"""Writes a model's `config.pbtxt` from its recipe and from what was measured."""

from __future__ import annotations

import json
from collections.abc import Sequence

from exporters.base import BuiltVariant, ExportFailed
from exporters.choose import Batching
from exporters.recipe import Recipe
from services.shared.config_pbtxt import parse_config
from services.shared.errors import InvalidInput
from services.shared.imaging.settings import parse_image_settings
from services.shared.model_config import ModelConfig
from services.shared.tensors import TensorSpec

INPUT = "image"
LABELS_FILE = "labels.txt"
_PLATFORMS = {"onnxruntime": "onnxruntime_onnx", "tensorrt": "tensorrt_plan"}
_LABELLED = ("probabilities", "classes", "scores")  # outputs whose numbers are named by the labels; the first there is
_QUEUE_SIZE = 512


def write_config(
    recipe: Recipe, variant: BuiltVariant, name: str, outputs: Sequence[TensorSpec], batching: Batching
) -> str:
    """The file's text, read back and compared; raises ExportFailed for what could not be served."""
    picture = TensorSpec(INPUT, "UINT8", (recipe.input.height, recipe.input.width, recipe.input.channels))
    labelled = next((word for word in _LABELLED if any(spec.name == word for spec in outputs)), "")
    lines = [
        f"# Written by `grayscale export {recipe.name}`; yours to change: a further export keeps it.",
        f"name: {_quoted(name)}",
        f"platform: {_quoted(_PLATFORMS[variant.backend])}",
        f"max_batch_size: {batching.max_batch_size}",
        f"input [ {_tensor(picture, ' format: FORMAT_NHWC')} ]",
        *(
            f"output [ {_tensor(spec, f' label_filename: {_quoted(LABELS_FILE)}' if labels else '')} ]"
            for spec in outputs
            for labels in (bool(recipe.labels) and spec.name == labelled,)
        ),
        *_batching(batching),
        *(_parameter(key, value) for key, value in _parameters(recipe, variant).items()),
    ]
    text = "\n".join(lines) + "\n"
    _check(text, name, picture, tuple(outputs), batching)
    return text


def same_contract(one: ModelConfig, other: ModelConfig) -> str:
    """Empty when versions of one may stand beside versions of the other, else what differs between them."""
    pairs = (
        ("backend", one.backend, other.backend),
        ("input", one.inputs, other.inputs),
        ("outputs", one.outputs, other.outputs),
        ("label files", dict(one.label_files), dict(other.label_files)),
        ("batch dimension", one.max_batch_size > 0, other.max_batch_size > 0),
        *(
            (f"parameter {key}", one.parameters.get(key), other.parameters.get(key))
            for key in sorted({*one.parameters, *other.parameters} - {"intra_op_thread_count"})
        ),
    )
    return ", ".join(word for word, mine, yours in pairs if mine != yours)


def _parameters(recipe: Recipe, variant: BuiltVariant) -> dict[str, str]:
    return {"task": recipe.task, "precision": variant.precision, **recipe.input.parameters}


def _tensor(spec: TensorSpec, more: str) -> str:
    datatype = "STRING" if spec.datatype == "BYTES" else spec.datatype
    dims = ", ".join(map(str, spec.shape))
    return f"{{ name: {_quoted(spec.name)} data_type: TYPE_{datatype}{more} dims: [ {dims} ] }}"


def _batching(batching: Batching) -> list[str]:
    if batching.max_batch_size <= 1:
        return []
    lines = ["dynamic_batching {"]
    if batching.preferred_batch_sizes:
        sizes = ", ".join(map(str, batching.preferred_batch_sizes))
        lines += [f"  # Measured: each gives more images per second than the smaller ones.\n  "
                  f"preferred_batch_size: [ {sizes} ]"]  # fmt: skip
    if batching.max_queue_delay_us:
        lines.append(f"  max_queue_delay_microseconds: {batching.max_queue_delay_us}")
    lines += [
        "  default_queue_policy {",
        f"    timeout_action: REJECT allow_timeout_override: true max_queue_size: {_QUEUE_SIZE}",
        "  }",
        "}",
    ]
    return lines


def _parameter(key: str, value: str) -> str:
    return f"parameters {{ key: {_quoted(key)} value {{ string_value: {_quoted(value)} }} }}"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _check(text: str, name: str, picture: TensorSpec, outputs: tuple[TensorSpec, ...], batching: Batching) -> None:
    """What was written is what the server will read."""
    try:
        config = parse_config(text, name=name)
        parse_image_settings(config)
    except InvalidInput as error:
        raise ExportFailed(f"{name} cannot be served as the recipe says: {error.detail}") from error
    sizes = config.batching.preferred_batch_sizes if config.batching else ()
    read = (config.inputs, config.outputs, config.max_batch_size, sizes, config.unhonoured)
    meant = ((picture,), outputs, batching.max_batch_size, batching.preferred_batch_sizes, ())
    if read != meant:
        raise ExportFailed(f"config.pbtxt of {name} reads back as {read}, not as {meant}")
