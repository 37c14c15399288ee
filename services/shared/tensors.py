"""Tensors as the Open Inference Protocol names and encodes them.

Datatypes and the raw encoding (little-endian, row-major, no padding; a BYTES element is a 4-byte length and its bytes)
follow the protocol's binary tensor extension: kserve/open-inference-protocol and Triton's `extension_binary_data.md`.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

from services.shared.errors import InvalidInput

Array = np.ndarray[Any, np.dtype[Any]]
Tensors = Mapping[str, Array]

BYTES = "BYTES"
# BYTES is an object array of Python `bytes`; everything else has one fixed width.
NUMPY_DTYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype(np.uint8),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "INT8": np.dtype(np.int8),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    BYTES: np.dtype(object),
}
# Which repeated field of the gRPC schema's InferTensorContents holds a datatype; FP16 and BF16 have none.
CONTENTS_FIELDS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    BYTES: "bytes_contents",
}
_DATATYPES = {dtype: name for name, dtype in NUMPY_DTYPES.items()}


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """A tensor that a model takes or gives.

    `shape` is without the batch dimension when the model batches; -1 stands for a dimension of any size.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]

    @property
    def dtype(self) -> np.dtype[Any]:
        return NUMPY_DTYPES[self.datatype]

    def fits(self, shape: Sequence[int]) -> bool:
        """Whether a shape without batch dimension is one that this tensor may have."""
        return len(shape) == len(self.shape) and all(
            want in (-1, got) for want, got in zip(self.shape, shape, strict=True)
        )


def datatype_of(array: Array) -> str:
    """The protocol's name for an array's type; raises InvalidInput for one that it does not know."""
    dtype = array.dtype
    if dtype.kind in "SUO":
        return BYTES
    try:
        return _DATATYPES[dtype.newbyteorder("<") if dtype.byteorder == ">" else dtype]
    except KeyError:
        raise InvalidInput(f"arrays of type {dtype} cannot be sent") from None


def numpy_dtype(datatype: str, *, field: str | None = None) -> np.dtype[Any]:
    """The NumPy type for a protocol datatype; raises InvalidInput for an unknown name."""
    try:
        return NUMPY_DTYPES[datatype]
    except KeyError:
        raise InvalidInput(
            f"datatype {datatype[:32]!r} is unknown: use one of {', '.join(NUMPY_DTYPES)}", field=field
        ) from None


def element_count(shape: Sequence[int], *, field: str | None = None) -> int:
    """The number of elements; raises InvalidInput for a negative dimension."""
    if any(d < 0 for d in shape):
        raise InvalidInput(f"shape {list(shape)} has a negative dimension", field=field)
    return math.prod(shape)


def encode_raw(array: Array) -> bytes:
    """An array in the raw encoding."""
    if array.dtype.kind in "SUO":
        parts: list[bytes] = []
        for element in array.ravel(order="C"):
            data = element if isinstance(element, bytes) else str(element).encode()
            parts += (struct.pack("<I", len(data)), data)
        return b"".join(parts)
    if array.dtype.byteorder == ">":
        array = array.astype(array.dtype.newbyteorder("<"))
    return array.tobytes(order="C")


def decode_raw(data: bytes | memoryview, datatype: str, shape: Sequence[int], *, field: str | None = None) -> Array:
    """The array in a raw encoding: a read-only view of `data`, except for BYTES.

    Raises InvalidInput when the data's length is not what datatype and shape say, or no array has that shape.
    """
    dtype, count = numpy_dtype(datatype, field=field), element_count(shape, field=field)
    if datatype == BYTES:
        return _shaped(_decode_bytes(bytes(data), count, field), shape, field)
    if len(data) != count * dtype.itemsize:
        raise InvalidInput(
            f"{len(data)} bytes of data, but {datatype} of shape {list(shape)} needs {count * dtype.itemsize}",
            field=field,
        )
    return _shaped(np.frombuffer(data, dtype=dtype), shape, field)


def _shaped(array: Array, shape: Sequence[int], field: str | None) -> Array:
    try:
        return array.reshape(shape)
    except ValueError as error:  # right in number, but more dimensions, or larger ones beside a 0, than NumPy has
        raise InvalidInput(f"no array has this shape of {len(shape)} dimensions: {error}", field=field) from error


def _decode_bytes(data: bytes, count: int, field: str | None) -> Array:
    if count * 4 > len(data):  # each element has a 4-byte length: refuse before allocating
        raise InvalidInput(f"{len(data)} bytes of data cannot hold {count} BYTES elements", field=field)
    array = np.empty(count, dtype=object)
    position = 0
    for index in range(count):
        if position + 4 > len(data):
            raise InvalidInput(f"the data ends before BYTES element {index} of {count}", field=field)
        (length,) = struct.unpack_from("<I", data, position)
        position += 4
        if position + length > len(data):
            raise InvalidInput(f"the data ends inside BYTES element {index} of {count}", field=field)
        array[index] = data[position : position + length]
        position += length
    if position != len(data):
        raise InvalidInput(f"{len(data) - position} bytes follow the last of {count} BYTES elements", field=field)
    return array
