"""The raw encoding of every datatype, and what lies about its length."""

from __future__ import annotations

import struct

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from services.shared.errors import InvalidInput
from services.shared.tensors import (
    NUMPY_DTYPES,
    Array,
    TensorSpec,
    datatype_of,
    decode_raw,
    element_count,
    encode_raw,
    numpy_dtype,
)

FIXED = sorted(set(NUMPY_DTYPES) - {"BYTES"})
WIDTHS = {
    **dict.fromkeys(("BOOL", "UINT8", "INT8"), 1),
    **dict.fromkeys(("UINT16", "INT16", "FP16", "BF16"), 2),
    **dict.fromkeys(("UINT32", "INT32", "FP32"), 4),
    **dict.fromkeys(("UINT64", "INT64", "FP64"), 8),
}


def objects(*elements: object) -> Array:
    array = np.empty(len(elements), dtype=object)
    array[:] = elements
    return array


@pytest.mark.parametrize("datatype", FIXED)
def test_a_datatype_has_the_width_of_the_protocol_and_comes_back_by_its_name(datatype: str) -> None:
    values = np.array([0, 1, 1, 0, 1, 0]).astype(NUMPY_DTYPES[datatype]).reshape(2, 3)
    assert datatype_of(values) == datatype
    raw = encode_raw(values)
    assert len(raw) == 6 * WIDTHS[datatype]
    back = decode_raw(raw, datatype, [2, 3])
    assert back.dtype == values.dtype
    assert np.array_equal(back, values)


@pytest.mark.parametrize(
    ("array", "raw"),
    [
        (np.array([1, 256], "<u2"), b"\1\0\0\1"),
        (np.array([1, 256], ">u2"), b"\1\0\0\1"),
        (np.array([-2], ">i8"), b"\xfe" + 7 * b"\xff"),
        (np.array([1.0], ">f4"), b"\0\0\x80\x3f"),
        (np.array([1.0], ml_dtypes.bfloat16), b"\x80\x3f"),  # the upper half of the same number in FP32
        (np.array([True, False]), b"\1\0"),
        (np.array([[1, 2], [3, 4]], np.uint8).T, b"\1\3\2\4"),  # row-major, whatever the memory's order
        (np.arange(6, dtype=np.uint8)[::2], b"\0\2\4"),
        (np.array(7, np.uint8), b"\7"),
        (np.zeros((0, 3), np.float32), b""),
        (objects(b"ab", b"", b"\0\xff"), b"\2\0\0\0ab\0\0\0\0\2\0\0\0\0\xff"),
        (objects("é", b"x"), b"\2\0\0\0\xc3\xa9\1\0\0\0x"),
        (np.array(["é", "ab"]), b"\2\0\0\0\xc3\xa9\2\0\0\0ab"),
        (np.array([b"a", b"bc"]), b"\1\0\0\0a\2\0\0\0bc"),
    ],
    ids=str,
)
def test_an_array_is_written_little_endian_row_major_without_padding(array: Array, raw: bytes) -> None:
    assert encode_raw(array) == raw


@pytest.mark.parametrize(
    ("array", "datatype"),
    [
        (np.zeros(1, ">f8"), "FP64"),
        (np.zeros(1, ">i2"), "INT16"),
        (np.array(["x"]), "BYTES"),
        (np.array([b"x"]), "BYTES"),
        (objects(b"x"), "BYTES"),
    ],
    ids=str,
)
def test_byte_order_and_kind_of_text_do_not_change_the_name(array: Array, datatype: str) -> None:
    assert datatype_of(array) == datatype


@pytest.mark.parametrize("dtype", ["complex64", "M8[s]", "m8[s]", "longdouble", "V4", [("a", "<f4")]])
def test_an_array_that_the_protocol_cannot_carry_is_refused(dtype: str) -> None:
    with pytest.raises(InvalidInput, match="cannot be sent"):
        datatype_of(np.zeros(1, dtype))


@pytest.mark.parametrize("datatype", FIXED)
@pytest.mark.parametrize("size", [0, 1, 11, 13, 10_000])
def test_data_of_another_length_than_datatype_and_shape_say_are_refused(datatype: str, size: int) -> None:
    needed = 12 * WIDTHS[datatype]
    if size == needed:
        size += 1
    with pytest.raises(InvalidInput, match=rf"{size} bytes of data, but {datatype} .* needs {needed}") as refused:
        decode_raw(bytes(size), datatype, [3, 4], field="inputs.x")
    assert refused.value.field == "inputs.x"


@pytest.mark.parametrize(
    ("data", "count", "match"),
    [
        (b"", 1, "0 bytes of data cannot hold 1 BYTES elements"),
        (b"\0\0\0", 1, "cannot hold"),
        (b"\0\0\0\0", 2**62, "cannot hold"),  # refused before anything is allocated
        (b"\2\0\0\0a", 1, "ends inside BYTES element 0 of 1"),
        (b"\xff\xff\xff\xff" + bytes(100), 1, "ends inside BYTES element 0"),
        (b"\4\0\0\0abcd", 2, "ends before BYTES element 1 of 2"),
        (b"\3\0\0\0abc\0", 2, "ends before BYTES element 1 of 2"),
        (b"\1\0\0\0ab", 1, "1 bytes follow the last of 1 BYTES elements"),
        (b"\0", 0, "1 bytes follow the last of 0"),
    ],
)
def test_bytes_elements_that_lie_about_their_length_are_refused(data: bytes, count: int, match: str) -> None:
    with pytest.raises(InvalidInput, match=match) as refused:
        decode_raw(data, "BYTES", [count], field="inputs.x")
    assert refused.value.field == "inputs.x"


@pytest.mark.parametrize("datatype", ["FP32", "BYTES"])
@pytest.mark.parametrize("shape", [[0, 2**62, 2**62], [0, 2**63], [1, 0] + [2**40] * 3, [0] * 65])
def test_a_shape_that_no_array_can_have_is_refused_although_its_length_is_right(
    datatype: str, shape: list[int]
) -> None:
    with pytest.raises(InvalidInput, match=f"no array has this shape of {len(shape)} dimensions") as refused:
        decode_raw(b"", datatype, shape, field="inputs.x")
    assert refused.value.field == "inputs.x"


@pytest.mark.parametrize("shape", [[0], [2, 0], [0, 0, 3]])
@pytest.mark.parametrize("datatype", ["FP32", "BYTES"])
def test_nothing_is_an_array_too(datatype: str, shape: list[int]) -> None:
    assert decode_raw(b"", datatype, shape).shape == tuple(shape)


def test_a_negative_dimension_and_an_unknown_datatype_are_refused_by_name() -> None:
    with pytest.raises(InvalidInput, match=r"shape \[-1, 4\] has a negative dimension") as refused:
        element_count([-1, 4], field="inputs.x")
    assert refused.value.field == "inputs.x"
    for name in ("STRING", "fp32", "", "FP" * 1000):
        with pytest.raises(InvalidInput, match="is unknown: use one of BOOL, UINT8") as unknown:
            numpy_dtype(name, field="inputs.x")
        assert unknown.value.field == "inputs.x"
        assert len(unknown.value.detail) < 200


def test_element_count_is_exact_for_any_size_and_one_for_a_scalar() -> None:
    assert element_count([]) == 1
    assert element_count([2**62, 2**62]) == 2**124
    assert decode_raw(b"\7", "UINT8", []) == 7


def test_decoded_data_are_a_read_only_view_without_a_copy() -> None:
    data = bytearray(8)
    array = decode_raw(memoryview(data).toreadonly(), "INT32", [2])
    assert not array.flags.writeable
    data[0] = 5
    assert array[0] == 5


@pytest.mark.parametrize(
    ("shape", "fits"), [((1, 3), True), ((9, 3), True), ((9, 4), False), ((3,), False), ((1, 3, 1), False)]
)
def test_a_spec_fits_shapes_of_its_rank_and_its_fixed_dimensions(shape: tuple[int, ...], fits: bool) -> None:
    assert TensorSpec("x", "FP32", (-1, 3)).fits(shape) is fits
    assert TensorSpec("x", "FP32", (-1, 3)).dtype == np.float32


@st.composite
def arrays(draw: st.DrawFn) -> tuple[str, Array]:
    datatype = draw(st.sampled_from(FIXED))
    shape = draw(hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
    size = int(np.prod(shape)) * WIDTHS[datatype]
    data = draw(st.binary(min_size=size, max_size=size))
    if datatype == "BOOL":
        data = bytes(byte & 1 for byte in data)
    array = np.frombuffer(data, NUMPY_DTYPES[datatype]).reshape(shape)
    if draw(st.booleans()) and array.ndim > 1:
        array = np.asfortranarray(array)
    return datatype, array


@settings(derandomize=True, max_examples=150, deadline=None)
@given(arrays())
def test_every_array_comes_back_bit_by_bit(given_: tuple[str, Array]) -> None:
    datatype, array = given_
    raw = encode_raw(array)
    back = decode_raw(raw, datatype_of(array), array.shape)
    assert datatype_of(back) == datatype
    assert back.shape == array.shape
    assert back.tobytes() == array.tobytes(order="C")  # bits, because a NaN equals nothing


@settings(derandomize=True, max_examples=100, deadline=None)
@given(st.lists(st.binary(max_size=20), max_size=8))
def test_every_list_of_bytes_comes_back(elements: list[bytes]) -> None:
    raw = encode_raw(objects(*elements))
    assert raw == b"".join(struct.pack("<I", len(e)) + e for e in elements)
    assert decode_raw(raw, "BYTES", [len(elements)]).tolist() == elements


@settings(derandomize=True, max_examples=150, deadline=None)
@given(st.binary(max_size=40), st.sampled_from(sorted(NUMPY_DTYPES)), st.lists(st.integers(-1, 5), max_size=4))
def test_any_data_under_any_shape_decode_or_are_refused(data: bytes, datatype: str, shape: list[int]) -> None:
    try:
        array = decode_raw(data, datatype, shape)
    except InvalidInput:
        return
    assert array.shape == tuple(shape)
    assert encode_raw(array) == data
