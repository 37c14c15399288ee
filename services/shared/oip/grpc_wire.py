"""Messages of `inference.GRPCInferenceService` to and from the handler's values. Pure.

The schema ships in tritonclient. Tensors come as `raw_input_contents` or as typed `contents`, never both; answers carry
`raw_output_contents`. Source: triton-inference-server/server `src/grpc/infer_handler.cc` (`InferGRPCToInput`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from tritonclient.grpc import service_pb2

from services.shared.errors import InvalidInput
from services.shared.inference.base import DurationTotal, IndexEntry, ModelMetadata, ModelStatistics
from services.shared.model_ref import parse_version
from services.shared.oip.base import (
    InferRequest,
    InferResponse,
    RequestedOutput,
    check_shape,
    refuse_shared_memory,
    wire_shape,
)
from services.shared.tensors import (
    CONTENTS_FIELDS,
    Array,
    TensorSpec,
    decode_raw,
    element_count,
    encode_raw,
    numpy_dtype,
)


def version_of(text: str) -> int | None:
    """A message's version field, empty when none is asked for; raises InvalidInput."""
    return parse_version(text) if text else None


def decode_request(message: Any) -> InferRequest:
    """The request in a ModelInferRequest; raises InvalidInput or Unsupported."""
    raws = list(message.raw_input_contents)
    if raws and any(tensor.HasField("contents") for tensor in message.inputs):
        raise InvalidInput("contents field must not be specified when using raw_input_contents", field="inputs")
    if raws and len(raws) != len(message.inputs):
        raise InvalidInput(
            f"{len(raws)} raw_input_contents for {len(message.inputs)} inputs: give one for each", field="inputs"
        )
    inputs: dict[str, Array] = {}
    for position, tensor in enumerate(message.inputs):
        if tensor.name in inputs:
            raise InvalidInput(f"input {tensor.name!r} is given twice", field=f"inputs.{tensor.name}")
        inputs[tensor.name] = _input(tensor, raws[position] if raws else None)
    return InferRequest(
        model=message.model_name,
        version=version_of(message.model_version),
        inputs=inputs,
        id=message.id,
        parameters=parameters_of(message.parameters),
        outputs=tuple(_requested(output) for output in message.outputs) or None,
    )


def encode_response(response: InferResponse) -> Any:
    """The answer as a ModelInferResponse with raw contents."""
    message = service_pb2.ModelInferResponse(
        model_name=response.ref.name, model_version=str(response.ref.version), id=response.id
    )
    for output in response.outputs:
        message.outputs.add(name=output.name, datatype=output.datatype, shape=output.array.shape)
        message.raw_output_contents.append(encode_raw(output.array))
    return message


def parameters_of(messages: Mapping[str, Any]) -> dict[str, Any]:
    """The values in a map of InferParameter or ModelRepositoryParameter; one without a value is left out."""
    chosen = {key: message.WhichOneof("parameter_choice") for key, message in messages.items()}
    return {key: getattr(messages[key], choice) for key, choice in chosen.items() if choice}


def encode_metadata(metadata: ModelMetadata) -> Any:
    def tensors(specs: Iterable[TensorSpec]) -> list[Any]:
        return [
            service_pb2.ModelMetadataResponse.TensorMetadata(
                name=s.name, datatype=s.datatype, shape=wire_shape(s, metadata.max_batch_size)
            )
            for s in specs
        ]

    return service_pb2.ModelMetadataResponse(
        name=metadata.ref.name,
        versions=[str(version) for version in metadata.versions],
        platform=metadata.platform,
        inputs=tensors(metadata.inputs),
        outputs=tensors(metadata.outputs),
    )


def encode_index(entries: Sequence[IndexEntry]) -> Any:
    message = service_pb2.RepositoryIndexResponse()
    for entry in entries:
        version = "" if entry.version is None else str(entry.version)
        message.models.add(name=entry.name, version=version, state=entry.state, reason=entry.reason)
    return message


def encode_statistics(models: Sequence[ModelStatistics]) -> Any:
    message = service_pb2.ModelStatisticsResponse()
    for model in models:
        entry = message.model_stats.add(
            name=model.ref.name,
            version=str(model.ref.version),
            last_inference=model.last_inference_ms,
            inference_count=model.inference_count,
            execution_count=model.execution_count,
            inference_stats=service_pb2.InferStatistics(
                success=_duration(model.success),
                fail=_duration(model.fail),
                queue=_duration(model.queue),
                compute_input=_duration(model.compute_input),
                compute_infer=_duration(model.compute_infer),
                compute_output=_duration(model.compute_output),
                cache_hit=_duration(DurationTotal()),
                cache_miss=_duration(DurationTotal()),
            ),
        )
        for size, (compute_input, compute_infer, compute_output) in sorted(model.batch_executions.items()):
            entry.batch_stats.add(
                batch_size=size,
                compute_input=_duration(compute_input),
                compute_infer=_duration(compute_infer),
                compute_output=_duration(compute_output),
            )
    return message


def _duration(total: DurationTotal) -> Any:
    return service_pb2.StatisticDuration(count=total.count, ns=total.ns)


def _input(tensor: Any, raw: bytes | None) -> Array:
    field = f"inputs.{tensor.name}"
    refuse_shared_memory(parameters_of(tensor.parameters), field=field)
    shape = check_shape(tuple(tensor.shape), field=field)
    if raw is not None:
        return decode_raw(raw, tensor.datatype, shape, field=field)
    return _typed(tensor, shape, field)


def _typed(tensor: Any, shape: tuple[int, ...], field: str) -> Array:
    dtype = numpy_dtype(tensor.datatype, field=field)
    name = CONTENTS_FIELDS.get(tensor.datatype)
    if name is None:
        raise InvalidInput(f"{field}: {tensor.datatype} has no typed contents: use raw_input_contents", field=field)
    filled = [descriptor.name for descriptor, _ in tensor.contents.ListFields()]
    if filled and filled != [name]:
        raise InvalidInput(f"{field}: contents of {tensor.datatype} belong in {name}, not {filled}", field=field)
    values = getattr(tensor.contents, name)
    if len(values) != element_count(shape, field=field):
        raise InvalidInput(f"{field}: {len(values)} elements do not fill shape {list(shape)}", field=field)
    if dtype.kind == "O":
        array = np.empty(len(values), dtype=object)
        array[:] = list(values)
        return array.reshape(shape)
    try:
        return np.array(list(values), dtype=dtype).reshape(shape)
    except OverflowError:
        raise InvalidInput(f"{field}: a number does not fit {tensor.datatype}", field=field) from None


def _requested(output: Any) -> RequestedOutput:
    field = f"outputs.{output.name}"
    parameters = parameters_of(output.parameters)
    refuse_shared_memory(parameters, field=field)
    count = parameters.get("classification", 0)
    if not isinstance(count, int) or isinstance(count, bool) or count < 0:
        raise InvalidInput(f"{field}: classification must be a whole number from 0", field=field)
    return RequestedOutput(output.name, classification=count)
