"""8-bit variants of the sample model: as near as the gates ask, by the method that was measured to be nearest."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from exporters.base import BuiltVariant, ExportFailed, VariantInputs
from exporters.data import labelled_images
from exporters.proof.onnx_runner import OnnxRunner
from exporters.proof.parity import measure_parity
from exporters.recipe_file import read_recipe
from exporters.variants import BUILDERS
from exporters.variants.int8 import METHODS, FirstPictures, Int8Builder
from exporters.variants.layer_errors import worst_layers
from exporters.variants.prepared import CalibrationPictures, prepare
from tests.support.digit_models import DIGITS

ONNX = DIGITS / "1" / "model.onnx"


def silent(what: str, done: int, total: int) -> None:
    assert 0 <= done <= total, what


def inputs_in(staging: Path, *, calibrated: bool = True) -> VariantInputs:
    recipe = read_recipe(DIGITS)
    calibration = labelled_images("digits:train", recipe, limit=256) if calibrated else None
    return VariantInputs(
        recipe, ONNX, calibration, labelled_images("digits:held-out", recipe), OnnxRunner(ONNX), staging
    )


@pytest.fixture(scope="module")
def int8(tmp_path_factory: pytest.TempPathFactory) -> BuiltVariant:
    return Int8Builder().build(inputs_in(tmp_path_factory.mktemp("int8")), silent)


def test_int8_agrees_with_the_original_on_held_out_scans(int8: BuiltVariant) -> None:
    inputs = inputs_in(int8.path.parent)
    assert inputs.evaluation is not None
    parity = measure_parity(int8.path, inputs.reference, inputs.evaluation)
    assert parity.images == 360
    assert parity.top1_agreement is not None
    assert parity.top1_agreement >= 0.995


def test_int8_weights_are_bytes_per_channel_and_the_ends_stay_in_float(int8: BuiltVariant) -> None:
    model = onnx.load(int8.path)
    weights = [
        tensor for tensor in model.graph.initializer if tensor.data_type == onnx.TensorProto.INT8 and tensor.dims
    ]
    assert any(len(t.dims) == 4 for t in weights)
    scales = {t.name: t for t in model.graph.initializer if t.name.endswith("_scale") and t.dims}
    assert any(max(t.dims, default=0) > 1 for t in scales.values())
    assert model.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert int8.path.stat().st_size < ONNX.stat().st_size / 2
    assert any("Softmax" in name or "softmax" in name for name in int8.notes["float_nodes"])


def test_every_calibration_method_was_tried_and_is_noted(int8: BuiltVariant) -> None:
    assert [attempt["method"] for attempt in int8.notes["tried"]] == list(METHODS)
    assert int8.notes["calibration"] in METHODS
    assert int8.notes["float_layers"] == []


def test_without_pictures_to_calibrate_with_it_says_what_to_name(tmp_path: Path) -> None:
    with pytest.raises(ExportFailed, match=r"name them as \[data\] calibration"):
        Int8Builder().build(inputs_in(tmp_path, calibrated=False), silent)


def test_layers_are_ranked_by_their_measured_error(int8: BuiltVariant, tmp_path: Path) -> None:
    prepared = prepare(ONNX, tmp_path / "prepared.onnx")
    layers = [node.name for node in prepared.load().graph.node if node.op_type in ("Conv", "Gemm")]
    inputs = inputs_in(tmp_path)
    assert inputs.calibration is not None
    pictures = CalibrationPictures(inputs.calibration, "image", limit=16)
    ranked = worst_layers(prepared.path, int8.path, pictures, layers, tmp_path)
    assert ranked
    assert set(ranked) <= set(layers)


def test_dynamic_int8_and_fp16_answer_as_the_original(tmp_path: Path) -> None:
    inputs = inputs_in(tmp_path)
    assert inputs.evaluation is not None
    for name, least in (("int8_dynamic", 0.99), ("fp16", 0.999)):
        built = BUILDERS[name].build(inputs, silent)  # type: ignore[index]
        parity = measure_parity(built.path, inputs.reference, inputs.evaluation)
        assert parity.top1_agreement is not None
        assert parity.top1_agreement >= least, name
        [output] = onnx.load(built.path).graph.output
        assert output.type.tensor_type.elem_type == onnx.TensorProto.FLOAT, name  # what clients are used to


@pytest.mark.parametrize(
    ("limit", "batches", "count"), [(60, [16, 16, 16], 48), (16, [16], 16), (5, [5], 5), (1, [1], 1)]
)
def test_calibration_comes_in_batches_of_one_shape(limit: int, batches: list[int], count: int) -> None:
    images = labelled_images("digits:held-out", read_recipe(DIGITS))
    pictures = CalibrationPictures(images, "image", limit=limit)
    assert pictures.count == count
    seen = []
    while (batch := pictures.get_next()) is not None:
        seen.append(len(batch["image"]))
    assert seen == batches


def test_any_number_of_pictures_calibrates(tmp_path: Path) -> None:
    inputs = replace(inputs_in(tmp_path), calibration=labelled_images("digits:train", read_recipe(DIGITS), limit=29))
    built = Int8Builder().build(inputs, silent)
    assert [attempt["method"] for attempt in built.notes["tried"]] == list(METHODS)


@pytest.mark.parametrize(("limit", "sizes"), [(10, [4, 4, 2]), (4, [4]), (1, [1])])
def test_the_first_pictures_are_no_more_than_asked_for(limit: int, sizes: list[int]) -> None:
    pictures = FirstPictures(labelled_images("digits:held-out", read_recipe(DIGITS)), limit)
    batches = list(pictures.batches(4))
    assert [len(images) for images, _ in batches] == sizes
    assert len(pictures) == limit
    assert np.concatenate([labels for _, labels in batches]).tolist() == pictures.labels.tolist()
