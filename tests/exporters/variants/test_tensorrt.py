"""Every variant meant for TensorRT, parsed and built for real by TensorRT for RTX, which needs no GPU for that."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from exporters.base import Array, BuiltVariant, ExportFailed, VariantBuilder, VariantInputs
from exporters.recipe import InputRecipe, NetworkRecipe, Recipe, VariantName
from exporters.variants.fp16 import Fp16Builder
from exporters.variants.fp32 import Fp32Builder
from exporters.variants.tensorrt import EngineBuilder, Int8TrtBuilder, tensorrt_builders
from services.shared.backends.cuda_driver import Cuda
from services.shared.backends.tensorrt_build import BuildOptions, build_engine, read_info, sha256_of
from services.shared.backends.tensorrt_plan import BatchProfile
from services.shared.errors import InferenceFailed
from tests.support import onnx_models
from tests.support.digit_models import DIGITS
from tests.support.fake_cuda import FakeCudaLibrary
from tests.support.residual_onnx import SIDE, residual
from tests.support.tensorrt_wheels import RTX, need

MAX_BATCH = 8
SOURCES: Mapping[str, VariantBuilder] = {"fp32": Fp32Builder(), "fp16": Fp16Builder(), "int8": Int8TrtBuilder()}
FORBIDDEN = {"DynamicQuantizeLinear", "ConvInteger", "MatMulInteger", "QLinearConv"}


class Pictures:
    """Labelled pictures without labels."""

    def __init__(self, side: int, channels: int, count: int = 24) -> None:
        coarse = np.random.default_rng(0).integers(0, 256, (count, 4, 4, channels), dtype=np.uint8)
        self.images = coarse.repeat(side // 4, axis=1).repeat(side // 4, axis=2)
        self.labels: Array = np.full(count, -1)

    def __len__(self) -> int:
        return len(self.images)

    def batches(self, size: int) -> Iterator[tuple[Array, Array]]:
        for start in range(0, len(self), size):
            yield self.images[start : start + size], self.labels[start : start + size]


class NoReference:
    def run(self, images: Array) -> Mapping[str, Array]:
        raise AssertionError("a builder asks no reference")


def silent(what: str, done: int, total: int) -> None:
    assert 0 <= done <= total, what


@pytest.fixture(params=["digits", "residual"])
def inputs(request: pytest.FixtureRequest, tmp_path: Path) -> VariantInputs:
    if request.param == "digits":
        fp32, side, channels = DIGITS / "1" / "model.onnx", 28, 1
    else:
        fp32, side, channels = onnx_models.write(residual(), tmp_path / "fp32.onnx"), SIDE, 3
    recipe = Recipe(
        name=request.param,
        task="classification",
        labels=tuple(map(str, range(10))),
        network=NetworkRecipe(),
        input=InputRecipe(side, side, channels, (0.5,) * channels, (0.25,) * channels),
        directory=tmp_path,
        max_batch_size=MAX_BATCH,
    )
    (tmp_path / "staging").mkdir()
    pictures = Pictures(side, channels)
    return VariantInputs(recipe, fp32, pictures, None, NoReference(), tmp_path / "staging")


def answers(path: Path, inputs: VariantInputs) -> Array:
    assert isinstance(inputs.calibration, Pictures)
    session = onnxruntime.InferenceSession(path)
    made: Array = session.run(None, {"image": inputs.calibration.images})[0]
    return made


@pytest.mark.parametrize(("source", "tolerance"), [("fp32", 0.0), ("fp16", 2e-3), ("int8", 0.05)])
def test_file_is_read_and_built_by_tensorrt_and_answers_as_before(
    inputs: VariantInputs, source: str, tolerance: float
) -> None:
    need(RTX)
    variant = SOURCES[source].build(inputs, silent)
    assert len(build_engine(variant.path, BuildOptions(BatchProfile(1, 8, MAX_BATCH)), module=RTX)) > 10_000
    difference = np.abs(answers(variant.path, inputs) - answers(inputs.fp32, inputs)).max()
    assert difference <= tolerance


def test_8_bit_file_is_as_tensorrt_wants_it(inputs: VariantInputs) -> None:
    variant = Int8TrtBuilder().build(inputs, silent)
    model = onnx.load(variant.path)
    weights = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
    made_by = {name: node for node in model.graph.node for name in node.output}
    zero_points = [
        weights[node.input[2]] for node in model.graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")
    ]
    assert {zero.dtype.name for zero in zero_points} == {"int8"}  # a 32-bit bias would have another
    assert not any(zero.any() for zero in zero_points)
    assert not FORBIDDEN.intersection(node.op_type for node in model.graph.node)
    convolutions = [node for node in model.graph.node if node.op_type in ("Conv", "Gemm")]
    assert convolutions
    for node in convolutions:
        assert [made_by[name].op_type for name in node.input[:2]] == ["DequantizeLinear"] * 2
    # No rounding between a convolution, or a sum, and the activation that TensorRT fuses with it.
    activated = [made_by[node.input[0]].op_type for node in model.graph.node if node.op_type == "Relu"]
    assert set(activated) <= {"Conv", "Gemm", "Add"}
    # Normalisation and softmax stay as they were.
    ends = [node for node in model.graph.node if node.name in variant.notes["float_nodes"]]
    assert {"Cast", "Transpose", "Softmax"} <= {node.op_type for node in ends}
    assert not [node for node in ends for name in node.input if name in made_by and _dequantizes(made_by[name])]
    assert (variant.precision, variant.backend, variant.notes["images"]) == ("int8", "onnxruntime", 24)


def _dequantizes(node: onnx.NodeProto) -> bool:
    return bool(node.op_type == "DequantizeLinear")


def test_8_bits_need_pictures_to_calibrate_with(inputs: VariantInputs) -> None:
    bare = VariantInputs(inputs.recipe, inputs.fp32, None, None, inputs.reference, inputs.staging)
    with pytest.raises(ExportFailed, match=r"int8_trt needs pictures to calibrate with: name them as \[data\] calibr"):
        Int8TrtBuilder().build(bare, silent)


ENGINES: list[tuple[VariantName, str, str]] = [
    ("trt_fp32", "fp32", "fp32"),
    ("trt_fp16", "fp16", "fp16"),
    ("trt_int8", "int8", "int8"),
]


@pytest.mark.parametrize(("name", "source", "precision"), ENGINES)
def test_engine_lies_beside_its_record_and_the_file_that_it_came_from(
    inputs: VariantInputs, name: VariantName, source: str, precision: str
) -> None:
    need(RTX)
    builder = EngineBuilder(name, SOURCES[source], module=RTX, find_gpu=lambda: Cuda(FakeCudaLibrary(), 0))
    variant: BuiltVariant = builder.build(inputs, silent)
    assert (variant.name, variant.backend, variant.precision) == (name, "tensorrt", precision)
    assert [path.name for path in (variant.path, *variant.beside)] == ["model.plan", "model.onnx", "model.plan.json"]
    assert variant.path.stat().st_size > 10_000
    info = read_info(variant.path)
    assert info is not None
    assert (info.runtime, info.compute_capability, info.gpu) == (RTX, "9.0", "NVIDIA Test GPU")
    assert (info.precision, info.onnx_sha256) == (precision, sha256_of(variant.beside[0]))
    assert info.batch == BatchProfile(1, MAX_BATCH, MAX_BATCH)
    assert variant.notes["gpu"] == "NVIDIA Test GPU"


@pytest.mark.parametrize("name", [name for name, _, _ in ENGINES])
def test_engine_without_a_gpu_is_one_sentence(
    inputs: VariantInputs, name: VariantName, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.shared.backends.cuda_driver.LIBRARY", "libcuda-that-is-not-there.so.1")
    with pytest.raises(ExportFailed, match=rf"^{name} cannot be built here: this machine has no NVIDIA GPU[^\n]*$"):
        tensorrt_builders()[name].build(inputs, silent)


def test_file_that_tensorrt_cannot_read_is_one_sentence(inputs: VariantInputs, tmp_path: Path) -> None:
    need(RTX)
    fp32 = onnx_models.write(onnx_models.dynamically_quantized(), tmp_path / "strange.onnx")
    strange = VariantInputs(inputs.recipe, fp32, None, None, inputs.reference, inputs.staging)
    builder = EngineBuilder("trt_fp32", Fp32Builder(), module=RTX, find_gpu=lambda: Cuda(FakeCudaLibrary(), 0))
    with pytest.raises(ExportFailed, match=r"trt_fp32 cannot be built here: TensorRT cannot read model.onnx: Dynamic"):
        builder.build(strange, silent)


def test_gpu_that_is_not_usable_is_told_in_the_drivers_words(inputs: VariantInputs) -> None:
    def broken() -> Cuda:
        raise InferenceFailed("the NVIDIA driver offers no usable GPU: cuInit failed")

    with pytest.raises(ExportFailed, match="trt_fp32 cannot be built here: the NVIDIA driver offers no usable GPU"):
        EngineBuilder("trt_fp32", Fp32Builder(), find_gpu=broken).build(inputs, silent)


def test_every_variant_of_a_recipe_has_its_builder() -> None:
    builders = tensorrt_builders()
    assert set(builders) == {"int8_trt", "trt_fp32", "trt_fp16", "trt_int8"}
    assert all(builder.name == name for name, builder in builders.items())
