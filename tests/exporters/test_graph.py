"""What a network must give to be served, and that the batch of the written graph was tried."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from safetensors.torch import save_file

from exporters.base import Array, ExportFailed, Original
from exporters.networks.registry import build_network
from exporters.original import load_original
from exporters.proof.onnx_runner import OnnxRunner
from exporters.recipe import Task
from exporters.servable_file import finish
from exporters.task_outputs import complaint
from tests.support.exported_networks import pictures, recipe_of, write_graph

NETWORK = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(192, 24)

    def forward(self, images):
        flat = self.fc(images.flatten(1))
        {forward}

def make():
    return Net()
"""
BOXES = "boxes, rest = flat[:, :8].reshape(-1, 2, 4), torch.sigmoid(flat[:, 8:])\n        "


def quiet(what: str, done: int, total: int) -> None:
    pass


def original_of(directory: Path, forward: str, *, task: Task = "classification", labels: int = 24) -> Original:
    """A network of 8x8 pictures, from a file in the model's directory, loaded with seeded weights."""
    (directory / "net.py").write_text(NETWORK.format(forward=forward))
    recipe = recipe_of(directory, "net.py:make", task=task, labels=labels, side=8)
    torch.manual_seed(0)
    network = build_network(recipe)
    save_file(network.state_dict(), directory / "checkpoint.safetensors")
    return load_original(recipe)


@pytest.mark.parametrize(
    ("forward", "names"),
    [
        (BOXES + "return boxes, rest[:, :2], rest[:, :2].round().int()", ["boxes", "scores", "classes"]),
        (BOXES + "return boxes, rest[:, :6].reshape(-1, 2, 3)", ["boxes", "scores"]),
        (BOXES + "return {'scores': rest[:, :6].reshape(-1, 2, 3), 'boxes': boxes}", ["boxes", "scores"]),
    ],
)
def test_a_detector_from_a_file_answers_as_it_does_in_pytorch(forward: str, names: list[str], tmp_path: Path) -> None:
    original = original_of(tmp_path, forward, task="detection", labels=3)
    info = original.export(tmp_path / "model.onnx", quiet)
    images = pictures(3, recipe_of(tmp_path, side=8))
    expected, served = original.reference.run(images), OnnxRunner(tmp_path / "model.onnx").run(images)
    assert list(expected) == list(served) == names == [spec.name for spec in info.outputs]
    assert [spec.datatype for spec in info.outputs] == ["FP32", "FP32", "INT64"][: len(names)]
    for name in names:
        assert expected[name].dtype == served[name].dtype
        assert np.abs(expected[name] - served[name]).max() <= 1e-4
    assert np.ptp(served["scores"], axis=0).max() > 0.01


@pytest.mark.parametrize(
    ("forward", "task", "labels", "said"),
    [
        ("return flat", "classification", 10, "net.py:make gives 24 classes, but there are 10 labels"),
        ("return flat, flat", "classification", 24, "net.py:make gives tuple, but classification needs one tensor"),
        ("return flat[:, :, None]", "embedding", 0, "gives [1, 24, 1] for one picture, but embedding needs 2 dim"),
        ("return flat", "segmentation", 24, "gives [1, 24] for one picture, but segmentation needs 4 dimensions"),
        ("return images[:, :1]", "segmentation", 3, "gives 2 classes, but there are 3 labels"),
        ("return flat", "detection", 3, "must give boxes and scores, or boxes, scores and classes"),
        ("return {'boxes': flat, 'score': flat}", "detection", 3, "must give boxes and scores, or boxes, scores and"),
        (
            "return self.fc(images[:, :2].flatten(1))",
            "classification",
            24,
            "does not take a picture of 8x8 with 3 chan",
        ),
    ],
)
def test_a_network_of_another_task_is_refused(forward: str, task: Task, labels: int, said: str, tmp_path: Path) -> None:
    with pytest.raises(ExportFailed, match=re.escape(said)) as error:
        original_of(tmp_path, forward, task=task, labels=labels)
    assert "\n" not in str(error.value)


def test_a_network_that_fixes_its_batch_is_refused(tmp_path: Path) -> None:
    original = original_of(tmp_path, "return flat.reshape(int(images.shape[0]), 24)")
    with pytest.raises(ExportFailed, match=r"does not run batches of 1 and 3.*without int\(x\.shape\[0\]\)") as error:
        original.export(tmp_path / "model.onnx", quiet)
    assert "\n" not in str(error.value)


def test_a_network_that_cannot_be_traced_says_so(tmp_path: Path) -> None:
    original = original_of(tmp_path, "return flat if flat.sum() > 0 else -flat")
    with pytest.raises(ExportFailed, match=r"net\.py:make cannot be written as ONNX with a dynamic batch: ") as error:
        original.export(tmp_path / "model.onnx", quiet)
    assert "\n" not in str(error.value)


def test_a_network_whose_rows_touch_each_other_is_refused(tmp_path: Path) -> None:
    original = original_of(tmp_path, "return flat - 5 * flat.mean(dim=0, keepdim=True)")
    with pytest.raises(ExportFailed, match="a picture's probabilities changes with its neighbours in the batch"):
        original.export(tmp_path / "model.onnx", quiet)


def test_a_graph_that_only_claims_a_dynamic_batch_is_refused(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Reshape", ["pixels", "fixed"], ["flat"]),
        helper.make_node("Softmax", ["flat"], ["probabilities"], axis=1),
    ]
    path = write_graph(
        tmp_path / "model.onnx",
        nodes,
        {"image": (TensorProto.UINT8, ["batch", 8, 8, 3])},
        {"probabilities": (TensorProto.FLOAT, ["batch", 192])},
        [numpy_helper.from_array(np.array([1, 192]), "fixed")],
    )
    with pytest.raises(ExportFailed, match=r"does not run batches of 1 and 3|is not valid ONNX"):
        finish(path, recipe_of(tmp_path, side=8, labels=192), hint="")


def test_a_graph_that_is_not_valid_is_refused(tmp_path: Path) -> None:
    node = helper.make_node("Softmax", ["image"], ["probabilities"], axis=1)
    graph = helper.make_graph(
        [node],
        "wrong",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", 8, 8, 3])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", 3])],
    )
    onnx.save(helper.make_model(graph), tmp_path / "model.onnx")
    with pytest.raises(ExportFailed, match="the written graph is not valid ONNX"):
        finish(tmp_path / "model.onnx", recipe_of(tmp_path, side=8), hint="")


def test_the_shapes_are_in_the_file_and_the_cast_is_before_the_transpose(tmp_path: Path) -> None:
    original_of(tmp_path, "return flat").export(tmp_path / "model.onnx", quiet)
    graph = onnx.load(tmp_path / "model.onnx").graph
    kinds = [node.op_type for node in graph.node]
    assert kinds.index("Cast") < kinds.index("Transpose")
    made = {name for node in graph.node for name in node.output} - {each.name for each in graph.output}
    assert made <= {each.name for each in graph.value_info}


def test_the_sha256_is_the_checkpoints(tmp_path: Path) -> None:
    original = original_of(tmp_path, "return flat")
    assert original.sha256 == hashlib.sha256((tmp_path / "checkpoint.safetensors").read_bytes()).hexdigest()


def rows(*shape: int, kind: Any = np.float32) -> Array:
    return np.full(shape, 1 / shape[-1], kind)


@pytest.mark.parametrize(
    ("task", "outputs", "said"),
    [
        ("classification", {"probabilities": rows(2, 3)}, ""),
        ("classification", {"probabilities": rows(2, 4)}, "it names 4 classes, but there are 3 labels"),
        ("classification", {"probabilities": rows(1, 3)}, "for 2 pictures is [1, 3], where [2, 3] is wanted"),
        ("classification", {"probabilities": 2 * rows(2, 3)}, "do not sum to 1"),
        ("classification", {"probabilities": np.array([[2, -1, 0]] * 2)}, "do not sum to 1"),
        ("classification", {"probabilities": np.full((2, 3), np.nan)}, "not numbers"),
        ("embedding", {"embedding": rows(2, 9)}, ""),
        ("embedding", {"embedding": rows(2, 9, 1)}, "is [2, 9, 1], where [2, any] is wanted"),
        ("segmentation", {"classes": rows(2, 8, 8, kind=np.uint8)}, ""),
        ("segmentation", {"classes": rows(2, 4, 4, kind=np.uint8)}, "is [2, 4, 4], where [2, 8, 8] is wanted"),
        ("detection", {"boxes": rows(2, 5, 4), "scores": rows(2, 5), "classes": rows(2, 5, kind=np.int64)}, ""),
        ("detection", {"boxes": rows(2, 5, 4), "scores": rows(2, 6), "classes": rows(2, 5)}, "scores for 2 pictures"),
        ("detection", {"boxes": rows(2, 5, 4), "scores": rows(2, 5), "classes": rows(2, 6)}, "classes for 2 pictures"),
        ("detection", {"boxes": rows(2, 5, 4), "scores": rows(2, 5, 3)}, ""),
        ("detection", {"boxes": rows(2, 5, 4), "scores": rows(2, 5, 2)}, "is [2, 5, 2], where [2, 5, 3] is wanted"),
        ("detection", {"boxes": rows(2, 5, 5), "scores": rows(2, 5, 3)}, "where [2, any, 4] is wanted"),
    ],
)
def test_outputs_that_are_not_the_tasks_are_named(
    task: Task, outputs: dict[str, Array], said: str, tmp_path: Path
) -> None:
    found = complaint(recipe_of(tmp_path, task=task, labels=3, side=8), outputs, 2)
    assert (said in found) if said else found == ""


def test_dropout_is_off_when_it_serves(tmp_path: Path) -> None:
    original = original_of(tmp_path, "return nn.functional.dropout(flat, 0.9, self.training)")
    images = pictures(2, recipe_of(tmp_path, side=8))
    assert np.array_equal(
        original.reference.run(images)["probabilities"], original.reference.run(images)["probabilities"]
    )
