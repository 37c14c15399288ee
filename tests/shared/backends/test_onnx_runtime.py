from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from services.shared.backends.base import Placement
from services.shared.backends.onnx_runtime import OnnxRuntimeBackend
from services.shared.backends.onnx_runtime_model import OnnxRuntimeModel
from services.shared.config_pbtxt import parse_config
from services.shared.errors import InferenceFailed, InvalidInput
from services.shared.tensors import NUMPY_DTYPES
from tests.support import onnx_models
from tests.support.configs import config_text


def load(tmp_path: Path, model: onnx.ModelProto, text: str) -> OnnxRuntimeModel:
    path = onnx_models.write(model, tmp_path / "m" / "1" / "model.onnx")
    loaded = OnnxRuntimeBackend().load(path, parse_config(text, name="m"), Placement(cores=2))
    assert isinstance(loaded, OnnxRuntimeModel)
    return loaded


def sample(datatype: str) -> Any:
    if datatype == "BYTES":
        return np.array([[b"a", "é".encode(), b"", b"long " * 100], [b"1", b"2", b"3", b"4"]], dtype=object)
    return np.array([[0, 1, 0, 1], [1, 1, 0, 0]]).astype(NUMPY_DTYPES[datatype])


@pytest.mark.parametrize("datatype", list(NUMPY_DTYPES))
def test_every_datatype_goes_in_and_comes_out_as_it_is(tmp_path: Path, datatype: str) -> None:
    model = load(tmp_path, onnx_models.identity(datatype), config_text(datatype=datatype))
    x = sample(datatype)
    y = model.run({"x": x})["y"]
    assert y.dtype == NUMPY_DTYPES[datatype]
    np.testing.assert_array_equal(y, x)


@pytest.mark.parametrize("datatype", ["FP32", "BF16", "BYTES"])
def test_model_without_batch_dimension_takes_a_scalar(tmp_path: Path, datatype: str) -> None:
    text = config_text(datatype=datatype, dims="", max_batch_size=0)
    model = load(tmp_path, onnx_models.identity(datatype, ()), text)
    x = np.array(b"one", dtype=object) if datatype == "BYTES" else np.array(3).astype(NUMPY_DTYPES[datatype])
    y = model.run({"x": x})["y"]
    assert (y.shape, y[()]) == ((), x[()])


def test_views_and_big_endian_arrays_are_read_right(tmp_path: Path) -> None:
    model = load(tmp_path, onnx_models.scaled(2), config_text())
    x = np.arange(16, dtype=np.float32).reshape(4, 4)
    np.testing.assert_array_equal(model.run({"x": x.T})["y"], x.T * 2)
    np.testing.assert_array_equal(model.run({"x": x.astype(">f4")})["y"], x * 2)


def test_bytes_that_are_not_text_are_the_callers_fault(tmp_path: Path) -> None:
    model = load(tmp_path, onnx_models.identity("BYTES"), config_text(datatype="BYTES"))
    with pytest.raises(InvalidInput, match="must be UTF-8"):
        model.run({"x": np.array([[b"\xff", b"", b"", b""]], dtype=object)})


def test_inputs_and_outputs_are_read_from_the_file_when_the_config_names_none(tmp_path: Path) -> None:
    model = load(tmp_path, onnx_models.added(), 'platform: "onnxruntime_onnx" max_batch_size: 4')
    assert [(s.name, s.datatype, s.shape) for s in model.inputs] == [("a", "FP32", (2,)), ("b", "FP32", (2,))]
    a, b = np.ones((3, 2), np.float32), np.full((3, 2), 2, np.float32)
    outputs = model.run({"a": a, "b": b})
    assert list(outputs) == ["sum", "difference"]
    np.testing.assert_array_equal(outputs["difference"], a - b)


MISMATCHES = [
    pytest.param(
        onnx_models.identity(shape=(1, 4)),
        config_text(max_batch_size=8),
        "input 'x': max_batch_size is 8, but the file has the fixed size 1 where the batch belongs",
        id="fixed batch",
    ),
    pytest.param(
        onnx_models.summed(),
        config_text(output_dims=""),
        "output 'y': max_batch_size is 8, but the file has no dimension at all",
        id="scalar output",
    ),
    pytest.param(
        onnx_models.identity(),
        config_text().replace('"x"', '"image"'),
        r"input 'image' is not in the file, which has \['x'\]",
        id="wrong name",
    ),
    pytest.param(
        onnx_models.identity(),
        config_text().replace('"y"', '"probabilities"'),
        r"output 'probabilities' is not in the file, which has \['y'\]",
        id="wrong output",
    ),
    pytest.param(
        onnx_models.identity(),
        config_text(datatype="UINT8"),
        "input 'x' is UINT8, but FP32 in the file",
        id="wrong type",
    ),
    pytest.param(
        onnx_models.identity(),
        config_text(dims="5"),
        r"input 'x' has dims \[5\], but \[4\] in the file after its batch dimension",
        id="wrong dims",
    ),
    pytest.param(
        onnx_models.identity(),
        config_text(dims="-1"),
        r"input 'x' has dims \[-1\], but \[4\] in the file",
        id="any size promised, one size there",
    ),
    pytest.param(
        onnx_models.identity(),
        config_text(dims="4", max_batch_size=0),
        r"input 'x' has dims \[4\], but \[-1, 4\] in the file$",
        id="wrong rank",
    ),
    pytest.param(
        onnx_models.added(),
        'platform: "onnxruntime_onnx" max_batch_size: 4 input [ { name: "a" data_type: TYPE_FP32 dims: [ 2 ] } ]',
        r"the file's inputs \['b'\] are not named in the config",
        id="missing input",
    ),
    pytest.param(
        onnx_models.identity(),
        config_text(more="instance_group [ { kind: KIND_GPU count: 1 } ]"),
        "asks for KIND_GPU, but ONNX Runtime has no CUDA",
        id="no CUDA",
    ),
]


@pytest.mark.parametrize(("model", "text", "sentence"), MISMATCHES)
def test_file_that_does_not_fit_its_config_is_refused(
    tmp_path: Path, model: onnx.ModelProto, text: str, sentence: str
) -> None:
    if "KIND_GPU" in text and "CUDAExecutionProvider" in pytest.importorskip("onnxruntime").get_available_providers():
        pytest.skip("this onnxruntime is built with CUDA")
    with pytest.raises(InferenceFailed, match=sentence):
        load(tmp_path, model, text)


def test_automatic_kind_runs_on_the_cpu_without_cuda(tmp_path: Path) -> None:
    model = load(tmp_path, onnx_models.scaled(2), config_text(more="instance_group [ { kind: KIND_AUTO count: 1 } ]"))
    assert model.run({"x": np.ones((1, 4), np.float32)})["y"][0, 0] == 2


def test_truncated_file_is_refused(tmp_path: Path) -> None:
    path = onnx_models.write(onnx_models.scaled(2), tmp_path / "1" / "model.onnx")
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(InferenceFailed, match=r"model.onnx of m cannot be loaded: .*(parsing failed|INVALID)"):
        OnnxRuntimeBackend().load(path, parse_config(config_text(), name="m"), Placement(2))


def test_run_that_breaks_is_a_failure_of_inference(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    text = config_text(dims="-1", output_dims="-1, 4")
    model = load(tmp_path, onnx_models.reshaped(), text)
    with pytest.raises(InferenceFailed, match="cannot be reshaped"):
        model.run({"x": np.zeros((1, 5), np.float32)})
    assert capfd.readouterr().err == ""  # the reason is in the error, not printed by the runtime
    assert model.run({"x": np.zeros((1, 8), np.float32)})["y"].shape == (1, 2, 4)
