"""Tensors as ONNX Runtime takes and gives them, where they are not NumPy's own."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from services.shared.errors import InvalidInput
from services.shared.tensors import Array, Tensors, TensorSpec

_BFLOAT16 = 16  # TensorProto.DataType in onnx.proto


def native(array: Array) -> Array:
    """The array in this machine's byte order, which is the only one that the runtime knows: it ignores the other."""
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def text(array: Array) -> Array:
    """BYTES as the runtime reads them right: of `bytes` it would take the repr. Other arrays as `native` has them."""
    if array.dtype.kind not in "SO":
        return native(array)
    made = np.empty(array.shape, dtype=object)
    try:
        made.ravel()[:] = [e.decode() if isinstance(e, bytes) else str(e) for e in array.ravel()]
    except UnicodeDecodeError as error:
        raise InvalidInput("BYTES for an ONNX model must be UTF-8 text") from error
    return made


def encoded(array: Array) -> Array:
    """The runtime's text as BYTES; other arrays as they are."""
    if array.dtype.kind not in "UO":
        return array
    made = np.empty(array.shape, dtype=object)
    made.ravel()[:] = [str(e).encode() for e in array.ravel()]
    return made


def run_bfloat16(
    run: Callable[[dict[str, Any]], Sequence[Any]], inputs: Tensors, outputs: Sequence[TensorSpec]
) -> list[Array]:
    """bfloat16 has no NumPy type of its own: it goes in and out as the runtime's own values, which `run` takes."""
    from onnxruntime import OrtValue

    feed = {
        name: OrtValue.ortvalue_from_numpy_with_onnx_type(array.view(np.uint16), _BFLOAT16)
        if array.dtype.name == "bfloat16"
        else OrtValue.ortvalue_from_numpy(native(array))
        for name, array in ((name, np.asarray(array, order="C")) for name, array in inputs.items())
    }
    return [
        _copy_out(value, spec) if spec.datatype == "BF16" else value.numpy()
        for value, spec in zip(run(feed), outputs, strict=True)
    ]


def _copy_out(value: Any, spec: TensorSpec) -> Array:
    buffer = (ctypes.c_char * value.tensor_size_in_bytes()).from_address(value.data_ptr())
    return np.frombuffer(bytes(buffer), dtype=spec.dtype).reshape(value.shape())
