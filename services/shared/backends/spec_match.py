"""Whether a model file has the tensors that its config promises: the same answer for every runtime."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from services.shared.errors import InferenceFailed
from services.shared.model_config import ModelConfig
from services.shared.tensors import TensorSpec

Found = TypeVar("Found")


def match_specs(
    config: ModelConfig,
    word: str,
    named: Sequence[TensorSpec],
    found: Mapping[str, Found],
    read: Callable[[Found, str], TensorSpec],
) -> tuple[TensorSpec, ...]:
    """The tensors that the config names, or those of the file where it names none. `word` is input or output;
    `read(tensor, where)` gives a tensor of the file without its batch dimension, or raises InferenceFailed.

    Raises InferenceFailed naming the tensor that does not fit.
    """
    where = f"config.pbtxt of {config.name}: {word}"
    if not named:
        return tuple(read(each, where) for each in found.values())
    for spec in named:
        if spec.name not in found:
            raise InferenceFailed(f"{where} {spec.name!r} is not in the file, which has {sorted(found)}")
        actual = read(found[spec.name], where)
        if actual.datatype != spec.datatype:
            raise InferenceFailed(f"{where} {spec.name!r} is {spec.datatype}, but {actual.datatype} in the file")
        if len(actual.shape) != len(spec.shape) or any(
            has not in (-1, wants) for has, wants in zip(actual.shape, spec.shape, strict=True)
        ):
            raise InferenceFailed(
                f"{where} {spec.name!r} has dims {list(spec.shape)}, but {list(actual.shape)} in the file"
                + (" after its batch dimension" if config.max_batch_size else "")
            )
    missing = sorted(set(found) - {spec.name for spec in named})
    if word == "input" and missing:
        raise InferenceFailed(f"config.pbtxt of {config.name}: the file's inputs {missing} are not named in the config")
    return tuple(named)


def without_batch(config: ModelConfig, spec: TensorSpec, where: str) -> TensorSpec:
    """A tensor of the file as the config speaks of it: without its first dimension when the model batches."""
    if config.max_batch_size == 0:
        return spec
    if not spec.shape or spec.shape[0] != -1:
        first = f"the fixed size {spec.shape[0]}" if spec.shape else "no dimension at all"
        raise InferenceFailed(
            f"{where} {spec.name!r}: max_batch_size is {config.max_batch_size}, but the file has {first} where the "
            "batch belongs: export it with a dynamic first dimension, or set max_batch_size: 0"
        )
    return TensorSpec(spec.name, spec.datatype, spec.shape[1:])
