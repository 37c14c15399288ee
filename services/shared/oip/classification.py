"""The classification extension: an output's best classes as BYTES `value:index[:label]`. Pure.

Source: triton-inference-server/server `docs/protocol/extension_classification.md`; numbers are written as its
`classification.cc` does, with C++ `std::to_string` (six decimals for floating point).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from services.shared.errors import InvalidInput
from services.shared.oip.base import MAX_CLASSIFICATIONS
from services.shared.tensors import Array


def classify(array: Array, count: int, labels: Sequence[str], *, batched: bool, name: str) -> Array:
    """The `count` best classes, best first: shape [batch, k] when `batched`, else [k], with k at most the class count.

    Equal values keep the order of their indices and NaN comes last. Raises InvalidInput for an output of BOOL or BYTES,
    or one with too many classes.
    """
    if array.dtype.kind in "SUOb":
        raise InvalidInput(f"output {name!r} has no order to classify by", field=f"outputs.{name}")
    rows = array.reshape(array.shape[0], -1) if batched and array.ndim else array.reshape(1, -1)
    kept = min(count, rows.shape[1])
    if rows.shape[0] * kept > MAX_CLASSIFICATIONS:
        raise InvalidInput(f"output {name!r}: more than {MAX_CLASSIFICATIONS} classes asked", field=f"outputs.{name}")
    answer = np.empty((rows.shape[0], kept), dtype=object)
    for row, values in enumerate(rows):
        for rank, index in enumerate(_descending(values)[:kept]):
            answer[row, rank] = _entry(values[index], int(index), labels)
    return answer if batched and array.ndim else answer[0]


def _descending(values: Array) -> Array:
    if values.dtype.kind in "iu":
        return np.argsort(~values, kind="stable")  # ~v reverses the order without overflow, signed or not
    return np.argsort(-values.astype(np.float64), kind="stable")


def _entry(value: Any, index: int, labels: Sequence[str]) -> bytes:
    number = str(int(value)) if isinstance(value, np.integer) else f"{float(value):.6f}"
    label = f":{labels[index]}" if index < len(labels) else ""
    return f"{number}:{index}{label}".encode()
