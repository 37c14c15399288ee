"""The tensors of an ONNX file, as the runtime lists them, against those that the config promises."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from services.shared.backends.spec_match import match_specs, without_batch
from services.shared.errors import InferenceFailed
from services.shared.model_config import ModelConfig
from services.shared.tensors import BYTES, TensorSpec

_DATATYPES = {
    "tensor(bool)": "BOOL",
    **{f"tensor({u}int{bits})": f"{u}int{bits}".upper() for u in ("", "u") for bits in (8, 16, 32, 64)},
    "tensor(float16)": "FP16",
    "tensor(float)": "FP32",
    "tensor(double)": "FP64",
    "tensor(bfloat16)": "BF16",
    "tensor(string)": BYTES,
}


def checked_specs(
    config: ModelConfig, word: str, named: Sequence[TensorSpec], found: Iterable[Any]
) -> tuple[TensorSpec, ...]:
    """`match_specs` over the runtime's own descriptions (`InferenceSession.get_inputs`, `get_outputs`)."""
    return match_specs(
        config, word, named, {each.name: each for each in found}, lambda each, where: _spec_of(each, config, where)
    )


def _spec_of(each: Any, config: ModelConfig, where: str) -> TensorSpec:
    """The file's dimensions of any size are words or None."""
    datatype = _DATATYPES.get(each.type)
    if datatype is None:
        raise InferenceFailed(f"{where} {each.name!r} is a {each.type} in the file, which cannot be served")
    shape = tuple(d if isinstance(d, int) and d >= 0 else -1 for d in each.shape)
    return without_batch(config, TensorSpec(each.name, datatype, shape), where)
