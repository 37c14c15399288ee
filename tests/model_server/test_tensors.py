"""Every datatype comes back as it went in, read by NVIDIA's clients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tritonclient.grpc.aio
import tritonclient.http.aio
from tritonclient.grpc import service_pb2
from tritonclient.utils import InferenceServerException

from services.shared.tensors import NUMPY_DTYPES, Array, encode_raw
from tests.support.oip_server import RunningServer, Wire

EXTREMES: dict[str, list[Any]] = {
    "BOOL": [True, False, True],
    "UINT64": [0, 2**53 + 1, 2**64 - 1],
    "INT64": [-(2**63), -(2**53) - 1, 2**63 - 1],
    "FP16": [-65504.0, 6e-8, 0.1],
    "BF16": [-1.0, 0.5, 3.0],
    "FP32": [-3.4e38, 1.1754944e-38, 0.1],
    "FP64": [-1.7e308, 5e-324, 0.1],
    "BYTES": [b"", b"\x00 not text \xff", "grün".encode()],
}
IN_JSON = [name for name in NUMPY_DTYPES if name not in ("FP16", "BF16")]


def example(datatype: str) -> Array:
    dtype = NUMPY_DTYPES[datatype]
    values = EXTREMES.get(datatype) or [np.iinfo(dtype).min, 1, np.iinfo(dtype).max]
    return np.array([values, values[::-1]], dtype=dtype)


@pytest.mark.parametrize("datatype", NUMPY_DTYPES)
async def test_a_tensor_comes_back_bit_for_bit(client: Any, wire: Wire, datatype: str) -> None:
    array = example(datatype)

    answer = await client.infer(f"identity_{datatype.lower()}", [wire.input("x", array)])

    assert answer.as_numpy("y").shape == (2, 3)
    assert encode_raw(answer.as_numpy("y")) == encode_raw(array)


@pytest.mark.parametrize("datatype", IN_JSON)
async def test_a_tensor_comes_back_through_json(server: RunningServer, datatype: str) -> None:
    array = example(datatype)
    if datatype == "BYTES":
        array = np.array([["", "a b"], ["grün", '"']], dtype=object)
    given = tritonclient.http.aio.InferInput("x", list(array.shape), datatype)
    given.set_data_from_numpy(array, binary_data=False)
    wanted = tritonclient.http.aio.InferRequestedOutput("y", binary_data=False)

    async with tritonclient.http.aio.InferenceServerClient(server.http) as client:
        answer = await client.infer(f"identity_{datatype.lower()}", [given], outputs=[wanted])

    assert "data" in answer.get_output("y")
    assert encode_raw(answer.as_numpy("y")) == encode_raw(array)


@pytest.mark.parametrize("datatype", ["FP16", "BF16"])
async def test_half_precision_is_refused_in_json(server: RunningServer, datatype: str) -> None:
    given = tritonclient.http.aio.InferInput("x", [1, 1], datatype).set_data_from_numpy(
        np.zeros((1, 1), dtype=NUMPY_DTYPES[datatype])
    )
    wanted = tritonclient.http.aio.InferRequestedOutput("y", binary_data=False)

    async with tritonclient.http.aio.InferenceServerClient(server.http) as client:
        with pytest.raises(
            InferenceServerException, match=f"sending {datatype} data via JSON is not supported"
        ) as said:
            await client.infer(f"identity_{datatype.lower()}", [given], outputs=[wanted])

    assert said.value.status() == "400"


async def test_nan_and_infinity_pass_through_json(server: RunningServer) -> None:
    array = np.array([[np.nan, np.inf, -np.inf, 1.5]], dtype=np.float32)
    given = tritonclient.http.aio.InferInput("x", [1, 4], "FP32").set_data_from_numpy(array, binary_data=False)
    wanted = tritonclient.http.aio.InferRequestedOutput("y", binary_data=False)

    async with tritonclient.http.aio.InferenceServerClient(server.http) as client:
        answer = await client.infer("identity_fp32", [given], outputs=[wanted])

    np.testing.assert_array_equal(answer.as_numpy("y"), array)


@pytest.mark.parametrize(
    ("datatype", "field"),
    [
        ("BOOL", "bool_contents"),
        ("INT8", "int_contents"),
        ("INT16", "int_contents"),
        ("INT32", "int_contents"),
        ("INT64", "int64_contents"),
        ("UINT8", "uint_contents"),
        ("UINT16", "uint_contents"),
        ("UINT32", "uint_contents"),
        ("UINT64", "uint64_contents"),
        ("FP32", "fp32_contents"),
        ("FP64", "fp64_contents"),
        ("BYTES", "bytes_contents"),
    ],
)
async def test_typed_grpc_contents_are_read(server: RunningServer, datatype: str, field: str) -> None:
    array = example(datatype)
    request = service_pb2.ModelInferRequest(model_name=f"identity_{datatype.lower()}")
    tensor = request.inputs.add(name="x", datatype=datatype, shape=array.shape)
    getattr(tensor.contents, field).extend(array.reshape(-1).tolist())

    async with tritonclient.grpc.aio.InferenceServerClient(server.grpc) as client:
        answer = await client._client_stub.ModelInfer(request)

    assert list(answer.raw_output_contents) == [encode_raw(array)]
