"""An existing ONNX file as the source: served as it answers by itself, or refused with what to change."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from exporters.base import Array, ExportFailed
from exporters.onnx_source import load_onnx_source
from exporters.original import load_original
from exporters.proof.onnx_runner import OnnxRunner
from exporters.recipe import Recipe, Task
from tests.support.exported_networks import MEAN, STD, classifier_onnx, pictures, recipe_of, write_graph

SOFTMAX = {"softmax": True}
FLOAT, UINT8, INT64 = TensorProto.FLOAT, TensorProto.UINT8, TensorProto.INT64


def quiet(what: str, done: int, total: int) -> None:
    pass


def source_recipe(
    directory: Path, *, arguments: dict[str, Any] | None = None, task: Task = "classification", labels: int = 10
) -> Recipe:
    return recipe_of(directory, source="source.onnx", side=8, task=task, labels=labels, arguments=arguments)


def exported(recipe: Recipe, count: int = 3) -> tuple[dict[str, Array], dict[str, Array], onnx.ModelProto]:
    """What the reference and the written graph give for the same pictures."""
    original = load_original(recipe)
    path = recipe.directory / "model.onnx"
    info = original.export(path, quiet)
    images = pictures(count, recipe)
    written = onnx.load(path)
    assert info.inputs[0].name == "image"
    assert info.inputs[0].shape == (8, 8, 3)
    return dict(original.reference.run(images)), dict(OnnxRunner(path).run(images)), written


def logits(path: Path, images: Array) -> Array:
    """By hand: normalised, run by the file alone."""
    pixels = ((images / 255 - np.array(MEAN)) / np.array(STD)).astype(np.float32).transpose(0, 3, 1, 2)
    return np.asarray(onnxruntime.InferenceSession(path).run(None, {"input": np.ascontiguousarray(pixels)})[0])


@pytest.mark.parametrize("opset", [9, 13, 18, 20])
def test_a_float_classifier_is_normalised_and_gets_its_softmax(opset: int, tmp_path: Path) -> None:
    path = classifier_onnx(tmp_path / "source.onnx", opset=opset)
    recipe = source_recipe(tmp_path, arguments=SOFTMAX)
    reference, served, written = exported(recipe)
    raw = logits(path, pictures(3, recipe)).astype(np.float64)
    expected = np.exp(raw) / np.exp(raw).sum(axis=1, keepdims=True)
    assert np.ptp(expected, axis=0).max() > 0.01
    for found in (reference, served):
        assert list(found) == ["probabilities"]
        assert np.abs(found["probabilities"] - expected).max() <= 1e-5
    assert [node.op_type for node in written.graph.node][:4] == ["Cast", "Transpose", "Mul", "Add"]
    assert written.producer_name == "by hand"


@pytest.mark.parametrize(
    ("layout", "uint8", "name"), [("nhwc", False, "input"), ("nhwc", True, "input"), ("nchw", False, "image")]
)
def test_other_layouts_and_names_serve_as_well(layout: str, uint8: bool, name: str, tmp_path: Path) -> None:
    classifier_onnx(tmp_path / "source.onnx", layout=layout, uint8=uint8, name=name)
    reference, served, written = exported(source_recipe(tmp_path, arguments=SOFTMAX))
    assert np.abs(reference["probabilities"] - served["probabilities"]).max() <= 1e-5
    assert ("Transpose" in {node.op_type for node in written.graph.node}) == (layout == "nchw")
    assert written.graph.node[0].op_type == ("Identity" if uint8 else "Cast")


def test_probabilities_of_several_outputs_are_found_by_shape_or_by_name(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Flatten", ["input"], ["flat"], axis=1),
        helper.make_node("MatMul", ["flat", "weight"], ["a"]),
        helper.make_node("Softmax", ["a"], ["b"], axis=1),
        helper.make_node("ReduceMax", ["flat", "axis"], ["c"], keepdims=1),
    ]
    random = np.random.default_rng(0)
    weights = [
        numpy_helper.from_array(random.normal(0, 0.1, (192, 10)).astype(np.float32), "weight"),
        numpy_helper.from_array(np.array([1]), "axis"),
    ]
    outputs = {"a": (FLOAT, ["n", 10]), "b": (FLOAT, ["n", 10]), "c": (FLOAT, ["n", 1])}
    write_graph(tmp_path / "source.onnx", nodes, {"input": (FLOAT, ["n", 3, "h", "w"])}, outputs, weights)
    with pytest.raises(
        ExportFailed, match=r"source\.onnx has 2 outputs that could be probabilities for 10 labels.*say which"
    ):
        load_original(source_recipe(tmp_path))
    for arguments in ({"outputs": {"probabilities": "b"}}, {"outputs": {"probabilities": "a"}, "softmax": True}):
        reference, served, _ = exported(source_recipe(tmp_path, arguments=arguments))
        assert np.abs(reference["probabilities"] - served["probabilities"]).max() <= 1e-5
        assert served["probabilities"].sum(axis=1) == pytest.approx(1, abs=1e-5)


def test_an_embedding_gets_unit_length(tmp_path: Path) -> None:
    path = classifier_onnx(tmp_path / "source.onnx", classes=6)
    recipe = source_recipe(tmp_path, task="embedding", labels=0)
    reference, served, _ = exported(recipe)
    raw = logits(path, pictures(3, recipe))
    expected = raw / np.linalg.norm(raw, axis=1, keepdims=True)
    for found in (reference, served):
        assert np.abs(found["embedding"] - expected).max() <= 1e-5


def test_a_segmentation_gets_its_argmax(tmp_path: Path) -> None:
    weight = numpy_helper.from_array(np.random.default_rng(0).normal(size=(5, 3, 1, 1)).astype(np.float32), "weight")
    write_graph(
        tmp_path / "source.onnx",
        [helper.make_node("Conv", ["input", "weight"], ["out"])],
        {"input": (FLOAT, ["n", 3, "h", "w"])},
        {"out": (FLOAT, ["n", 5, "h", "w"])},
        [weight],
    )
    reference, served, _ = exported(source_recipe(tmp_path, task="segmentation", labels=5))
    assert served["classes"].dtype == np.uint8
    assert served["classes"].shape == (3, 8, 8)
    assert len(np.unique(served["classes"])) > 1
    assert (reference["classes"] == served["classes"]).mean() > 0.99


def detector(path: Path, *, nms_inside: bool, names: tuple[str, ...] = ("boxes", "scores", "labels")) -> Path:
    """Two boxes for each picture; the scores follow the picture's brightness."""
    random = np.random.default_rng(0)
    weights = {
        "to_boxes": random.normal(0, 0.1, (192, 8)),
        "to_scores": random.normal(0, 0.1, (192, 2 if nms_inside else 6)),
    }
    constants = {"box_shape": [0, 2, 4], "score_shape": [0, 2] if nms_inside else [0, 2, 3], "zero": 0}
    nodes = [
        helper.make_node("Flatten", ["input"], ["flat"], axis=1),
        helper.make_node("MatMul", ["flat", "to_boxes"], ["b"]),
        helper.make_node("Reshape", ["b", "box_shape"], [names[0]]),
        helper.make_node("MatMul", ["flat", "to_scores"], ["s"]),
        helper.make_node("Sigmoid", ["s"], ["p"]),
        helper.make_node("Reshape", ["p", "score_shape"], [names[1]]),
    ]
    outputs: dict[str, tuple[int, list[Any]]] = {
        names[0]: (FLOAT, ["n", 2, 4]),
        names[1]: (FLOAT, ["n", 2] if nms_inside else ["n", 2, 3]),
    }
    if nms_inside:
        nodes.append(helper.make_node("Cast", [names[1]], [names[2]], to=TensorProto.INT32))
        outputs[names[2]] = (TensorProto.INT32, ["n", 2])
    initializers = [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()]
    initializers += [numpy_helper.from_array(np.array(value, np.int64), name) for name, value in constants.items()]
    return write_graph(path, nodes, {"input": (FLOAT, ["n", 3, 8, 8])}, outputs, initializers)


@pytest.mark.parametrize("nms_inside", [True, False])
@pytest.mark.parametrize("names", [("boxes", "scores", "labels"), ("o1", "o2", "o3")])
def test_a_detector_keeps_its_boxes(nms_inside: bool, names: tuple[str, ...], tmp_path: Path) -> None:
    detector(tmp_path / "source.onnx", nms_inside=nms_inside, names=names)
    reference, served, _ = exported(source_recipe(tmp_path, task="detection", labels=3))
    assert list(served) == ["boxes", "scores", "classes"][: 3 if nms_inside else 2]
    assert served["boxes"].shape == (3, 2, 4)
    assert served["scores"].shape == ((3, 2) if nms_inside else (3, 2, 3))
    if nms_inside:
        assert served["classes"].dtype == np.int64
    for name, array in served.items():
        assert np.abs(reference[name] - array).max() <= 1e-4


def test_a_detector_whose_outputs_are_not_clear_names_them(tmp_path: Path) -> None:
    write_graph(
        tmp_path / "source.onnx",
        [helper.make_node("Reshape", ["input", "shape"], ["out"])],
        {"input": (FLOAT, ["n", 3, 8, 8])},
        {"out": (FLOAT, ["n", 24, 8])},
        [numpy_helper.from_array(np.array([0, 24, 8]), "shape")],
    )
    with pytest.raises(ExportFailed, match=r"needs the outputs boxes.*it has out float32 \[n, 24, 8\]: say which"):
        load_original(source_recipe(tmp_path, task="detection", labels=3))


REFUSED: list[tuple[dict[str, Any], dict[str, Any], int, str]] = [
    (
        {"batch": 1},
        SOFTMAX,
        10,
        "source.onnx fixes the batch at 1: export it again with a dynamic batch: dynamic_shapes=",
    ),
    ({"reshape_to": 1}, SOFTMAX, 10, "source.onnx does not run a batch of 2"),
    ({"side": 16}, SOFTMAX, 10, "input input is float32 [?, 3, 16, 16], but the recipe's picture is 8x8x3"),
    ({"uint8": True}, SOFTMAX, 10, "is uint8 [?, 3, 8, 8]: as uint8 it must be [n, 8, 8, 3], else float"),
    ({}, SOFTMAX, 7, "has no outputs that could be probabilities for 7 labels among logits float32 [n, 10]"),
    ({}, {"softmx": True}, 10, "takes no argument 'softmx': an ONNX source has softmax and outputs"),
    ({}, {"softmax": 1}, 10, "takes `softmax` as true or false"),
    ({}, {"outputs": {"logits": "logits"}}, 10, "needs `outputs` to name the file's probabilities, such as"),
    ({}, {"outputs": {"probabilities": "x"}}, 10, "has no output 'x', only logits float32 [n, 10]"),
]


@pytest.mark.parametrize(("made", "arguments", "labels", "said"), REFUSED, ids=[row[3][:40] for row in REFUSED])
def test_what_cannot_serve_is_refused_in_one_sentence(
    made: dict[str, Any], arguments: dict[str, Any], labels: int, said: str, tmp_path: Path
) -> None:
    classifier_onnx(tmp_path / "source.onnx", **made)
    with pytest.raises(ExportFailed, match=re.escape(said)) as error:
        load_original(source_recipe(tmp_path, arguments=arguments, labels=labels))
    assert "\n" not in str(error.value)


def test_logits_that_nobody_called_logits_are_refused_when_they_are_written(tmp_path: Path) -> None:
    classifier_onnx(tmp_path / "source.onnx")
    original = load_original(source_recipe(tmp_path))
    with pytest.raises(ExportFailed, match=r"do not sum to 1: they are logits.*softmax = true"):
        original.export(tmp_path / "model.onnx", quiet)


def test_two_inputs_and_other_types_are_refused(tmp_path: Path) -> None:
    add = helper.make_node("Add", ["x", "y"], ["z"])
    shape = ["n", 3, 8, 8]
    write_graph(tmp_path / "source.onnx", [add], {"x": (FLOAT, shape), "y": (FLOAT, shape)}, {"z": (FLOAT, shape)})
    with pytest.raises(ExportFailed, match=r"source\.onnx has 2 inputs \(x, y\), where one picture is wanted"):
        load_original(source_recipe(tmp_path))
    same = helper.make_node("Identity", ["x"], ["z"])
    write_graph(tmp_path / "source.onnx", [same], {"x": (INT64, shape)}, {"z": (INT64, shape)})
    with pytest.raises(ExportFailed, match=r"is int64 \[\?, 3, 8, 8\]: uint8, float32 or float16 is wanted"):
        load_original(source_recipe(tmp_path))
    write_graph(tmp_path / "source.onnx", [same], {"x": (FLOAT, ["n", 9])}, {"z": (FLOAT, ["n", 9])})
    with pytest.raises(ExportFailed, match=r"is float32 \[\?, 9\], where \[n, c, h, w\] or \[n, h, w, c\] is wanted"):
        load_original(source_recipe(tmp_path))


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.99])
def test_a_file_that_is_cut_short_says_so(share: float, tmp_path: Path) -> None:
    path = classifier_onnx(tmp_path / "source.onnx")
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ExportFailed, match=r"source\.onnx is not a whole ONNX file: it is cut short") as error:
        load_original(source_recipe(tmp_path, arguments=SOFTMAX))
    assert "\n" not in str(error.value)


def test_weights_beside_the_file_are_read_and_missed(tmp_path: Path) -> None:
    classifier_onnx(tmp_path / "source.onnx")
    model = onnx.load(tmp_path / "source.onnx")
    onnx.save(model, tmp_path / "source.onnx", save_as_external_data=True, location="weights.data", size_threshold=0)
    recipe = source_recipe(tmp_path, arguments=SOFTMAX)
    reference, served, _ = exported(recipe)
    assert np.abs(reference["probabilities"] - served["probabilities"]).max() <= 1e-5
    (tmp_path / "weights.data").unlink()
    with pytest.raises(ExportFailed, match=r"its weights are not beside it"):
        load_onnx_source(tmp_path / "source.onnx", recipe)
