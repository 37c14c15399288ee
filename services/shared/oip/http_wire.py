"""Infer requests and answers as REST bodies: JSON, with tensors in it or after it (binary tensor data extension).

The header `Inference-Header-Content-Length` gives the length of the JSON; the binary tensors follow in the order of
those with `parameters.binary_data_size`. Pure. Source: triton-inference-server/server
`docs/protocol/extension_binary_data.md`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from services.shared.errors import InvalidInput, TooLarge
from services.shared.oip import json_document
from services.shared.oip.base import (
    InferRequest,
    InferResponse,
    OutputTensor,
    RequestedOutput,
    check_shape,
    refuse_shared_memory,
)
from services.shared.oip.json_tensor import decode_json, encode_json
from services.shared.tensors import Array, decode_raw, encode_raw

# Lists and objects in one request's JSON: three bytes of it are ninety in memory. Eight photos of 224x224, nested down
# to each pixel, have 400,000.
MAX_JSON_CONTAINERS = 2**20


@dataclass(frozen=True, slots=True)
class Body:
    """An answer's bytes; `json_length` is None when no tensor follows the JSON."""

    data: bytes
    json_length: int | None


def decode_request(body: bytes, json_length: str | None, *, model: str, version: int | None) -> InferRequest:
    """The request in a decompressed body; `json_length` is the header's text. Raises InvalidInput or Unsupported."""
    view = memoryview(body)
    length = _json_length(json_length, len(body))
    if body.count(b"[", 0, length) + body.count(b"{", 0, length) > MAX_JSON_CONTAINERS:
        raise TooLarge("the request's JSON has too many lists: send flat data, or binary tensors")
    document = json_document.read(view[:length])
    binary = _BinaryPart(view[length:])
    inputs: dict[str, Array] = {}
    for position, entry in enumerate(_objects(document, "inputs")):
        name = _text(entry, "name", f"inputs[{position}]")
        if name in inputs:
            raise InvalidInput(f"input {name!r} is given twice", field=f"inputs.{name}")
        inputs[name] = _input(entry, binary, field=f"inputs.{name}")
    binary.finish()
    outputs = tuple(_requested(entry, position) for position, entry in enumerate(_objects(document, "outputs")))
    return InferRequest(
        model=model,
        version=version,
        inputs=inputs,
        id=_text(document, "id", "request", default=""),
        parameters=parameters_of(document, "request"),
        outputs=outputs or None,
    )


def encode_response(response: InferResponse, request: InferRequest) -> Body:
    """The answer, each output as the request asks; raises InvalidInput for one that JSON cannot carry."""
    default = flag(request.parameters, "binary_data_output", "request")
    chosen = {each.name: each.binary for each in request.outputs or ()}
    entries, tensors, finite = [], [], True
    for output in response.outputs:
        entry: dict[str, Any] = {"name": output.name, "datatype": output.datatype, "shape": list(output.array.shape)}
        choice = chosen.get(output.name)
        if default if choice is None else choice:
            tensors.append(encode_raw(output.array))
            entry["parameters"] = {"binary_data_size": len(tensors[-1])}
        else:
            entry["data"] = encode_json(output.array, output.datatype, name=output.name)
            finite = finite and _is_finite(output)
        entries.append(entry)
    head: dict[str, Any] = {"model_name": response.ref.name, "model_version": str(response.ref.version)}
    if response.id:
        head["id"] = response.id
    text = json_document.write({**head, "outputs": entries}, finite=finite)
    return Body(b"".join((text, *tensors)), len(text) if tensors else None)


class _BinaryPart:
    """What follows the JSON, taken piece by piece without a copy."""

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self._position = 0

    def take(self, size: int, field: str) -> memoryview:
        if self._position + size > len(self._data):
            missing = self._position + size - len(self._data)
            raise InvalidInput(f"unexpected size for {field}, expecting {missing} additional bytes", field=field)
        piece = self._data[self._position : self._position + size]
        self._position += size
        return piece

    def finish(self) -> None:
        if self._position != len(self._data):
            raise InvalidInput(
                f"unexpected additional input data: {len(self._data) - self._position} bytes follow the last tensor"
            )


def _json_length(text: str | None, body_length: int) -> int:
    if text is None:
        return body_length
    if not (len(text) < 16 and text.isascii() and text.isdigit() and 0 < int(text) <= body_length):
        raise InvalidInput(
            f"Inference-Header-Content-Length is {text[:32]!r}: it must be the length of the JSON, "
            f"at most the body's {body_length} bytes",
            field="Inference-Header-Content-Length",
        )
    return int(text)


def _input(entry: dict[str, Any], binary: _BinaryPart, *, field: str) -> Array:
    parameters = parameters_of(entry, field)
    refuse_shared_memory(parameters, field=field)
    datatype = _text(entry, "datatype", field)
    shape = entry.get("shape")
    if not isinstance(shape, list):
        raise InvalidInput(f"{field}: shape is missing or not a list", field=field)
    sizes = check_shape(shape, field=field)
    size = parameters.get("binary_data_size")
    if size is None:
        return decode_json(entry.get("data"), datatype, sizes, field=field)
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise InvalidInput(f"{field}: binary_data_size must be a whole number from 0", field=field)
    return decode_raw(binary.take(size, field), datatype, sizes, field=field)


def _requested(entry: dict[str, Any], position: int) -> RequestedOutput:
    name = _text(entry, "name", f"outputs[{position}]")
    field = f"outputs.{name}"
    parameters = parameters_of(entry, field)
    refuse_shared_memory(parameters, field=field)
    count = parameters.get("classification", 0)
    if not isinstance(count, int) or isinstance(count, bool) or count < 0:
        raise InvalidInput(f"{field}: classification must be a whole number from 0", field=field)
    binary = flag(parameters, "binary_data", field) if "binary_data" in parameters else None
    return RequestedOutput(name, classification=count, binary=binary)


def _is_finite(output: OutputTensor) -> bool:
    return output.array.dtype.kind != "f" or bool(np.isfinite(output.array).all())


def _objects(document: dict[str, Any], key: str) -> list[dict[str, Any]]:
    entries = document.get(key, [])
    if not isinstance(entries, list) or not all(isinstance(each, dict) for each in entries):
        raise InvalidInput(f"{key} must be a list of objects", field=key)
    return entries


def _text(entry: dict[str, Any], key: str, field: str, *, default: str | None = None) -> str:
    value = entry.get(key, default)
    if not isinstance(value, str):
        raise InvalidInput(f"{field}: {key} is missing or not a string", field=field)
    return value


def flag(parameters: Any, key: str, field: str) -> bool:
    value = parameters.get(key, False)
    if not isinstance(value, bool):
        raise InvalidInput(f"{field}: {key} must be true or false", field=field)
    return value


def parameters_of(entry: dict[str, Any], field: str) -> dict[str, Any]:
    parameters = entry.get("parameters", {})
    if not isinstance(parameters, dict):
        raise InvalidInput(f"{field}: parameters must be an object", field=field)
    return parameters
