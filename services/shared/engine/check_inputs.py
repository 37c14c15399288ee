"""Whether a request's inputs are those that a model takes. Pure; the wording is Triton's (core `infer_request.cc`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from services.shared.errors import InvalidInput
from services.shared.tensors import Array, Tensors, TensorSpec, datatype_of


def check_inputs(name: str, specs: Mapping[str, TensorSpec], max_batch_size: int, inputs: Tensors) -> int:
    """The batch size of a request to the model `name`; 1 for a model without batch dimension.

    Raises InvalidInput with the input's name as `field` when a name, datatype, shape or batch size does not fit.
    """
    batch: int | None = None
    for key, array in inputs.items():
        spec = specs.get(key)
        if spec is None:
            raise InvalidInput(f"unexpected inference input '{key[:128]}' for model '{name}'", field=key[:128])
        if array.dtype != spec.dtype and datatype_of(array) != spec.datatype:
            raise InvalidInput(
                f"inference input '{key}' data-type is '{datatype_of(array)}', but model '{name}' expects "
                f"'{spec.datatype}'",
                field=key,
            )
        size = _batch_of(name, spec, max_batch_size, array)
        if batch is not None and size != batch:
            raise InvalidInput(f"input '{key}' batch size does not match other inputs for '{name}'", field=key)
        batch = size
    if len(inputs) != len(specs):
        missing = [key for key in specs if key not in inputs]
        raise InvalidInput(
            f"expected {len(specs)} inputs but got {len(inputs)} inputs for model '{name}'. Got input(s) "
            f"{list(inputs)}, but missing required input(s) {missing}. Please provide all required input(s).",
            field=missing[0],
        )
    return batch or 1


def check_outputs(name: str, specs: Sequence[TensorSpec], wanted: Sequence[str]) -> None:
    """Raises InvalidInput when a wanted output is not one of the model's."""
    known = {spec.name for spec in specs}
    for key in wanted:
        if key not in known:
            raise InvalidInput(f"unexpected inference output '{key[:128]}' for model '{name}'", field=key[:128])


def _batch_of(name: str, spec: TensorSpec, max_batch_size: int, array: Array) -> int:
    shape = array.shape
    if max_batch_size == 0:
        if not spec.fits(shape):
            raise InvalidInput(
                f"unexpected shape for input '{spec.name}' for model '{name}'. Expected {list(spec.shape)}, got "
                f"{list(shape)}",
                field=spec.name,
            )
        return 1
    if not shape or not spec.fits(shape[1:]):
        raise InvalidInput(
            f"unexpected shape for input '{spec.name}' for model '{name}'. Expected {[-1, *spec.shape]}, got "
            f"{list(shape)}. NOTE: Setting a non-zero max_batch_size in the model config requires a batch dimension "
            "to be prepended to each input shape.",
            field=spec.name,
        )
    if not 1 <= shape[0] <= max_batch_size:
        limit = f"<= {max_batch_size}" if shape[0] else ">= 1"
        raise InvalidInput(f"inference request batch-size must be {limit} for '{name}'", field=spec.name)
    return int(shape[0])
