"""`grayscale export digits` for real: from the committed checkpoint to two models that a started stack serves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from services.cli.commands import app
from services.shared.repository.disk import DiskRepository
from tests.support.digit_models import copy_digits
from tests.support.images import digit_png
from tests.support.stack import ALONE, ROOT, Stack, running_stack


def grayscale(*arguments: str, data_dir: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "services.cli", *arguments],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "200", "GRAYSCALE_DATA_DIR": str(data_dir)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def published(models: Path) -> list[str]:
    repository = DiskRepository(models)
    return [f"{n}/{v}" for n in repository.names() for v in repository.versions(n)]


def ask(stack: Stack, model: str, digit: int) -> tuple[str, int]:
    """The best label and the version that gave it."""
    answer = httpx.post(f"{stack.url}/v1/models/{model}/predict", files={"image": ("d.png", digit_png(digit))})
    assert answer.status_code == 200, answer.text
    document = answer.json()
    return document["results"][0]["predictions"][0]["label"], document["served_by"]["version"]


def test_the_sample_model_becomes_fp32_and_int8_and_a_stack_serves_both(tmp_path: Path) -> None:
    models = tmp_path / "models"
    use(copy_digits(models), "seconds = 0.3", "seconds = 0.05")  # of what is not looked at here: how fast they are
    result = grayscale("export", "digits", "--models", str(models), "--json", data_dir=tmp_path / "data")
    assert result.returncode == 0, result.stderr
    by_name = {each["variant"]: each for each in json.loads(result.stdout)["variants"]}
    assert list(by_name) == ["fp32", "int8"]
    assert by_name["fp32"]["parity"]["max_abs"] <= 1e-4
    assert by_name["int8"]["parity"]["top1_agreement"] >= 0.995
    assert by_name["int8"]["accuracy"] >= 0.99
    assert by_name["int8"]["published"] == "digits_int8/1"
    version = int(by_name["fp32"]["published"].partition("/")[2])
    beside = {path.name for path in (models / "digits_int8" / "1").iterdir()}
    assert beside >= {"model.onnx", "model.onnx.sha256", "provenance.json", "report.json", "report.html"}
    again = grayscale("export", "digits", "--models", str(models), "--json", data_dir=tmp_path / "data")
    assert [each["is_new"] for each in json.loads(again.stdout)["variants"]] == [False, False], again.stderr
    with running_stack(tmp_path, "--processes", "1", *ALONE, models=models) as stack:
        for digit in (0, 3, 7):
            assert ask(stack, "digits_int8", digit) == (str(digit), 1)
            assert ask(stack, "digits", digit) == (str(digit), version)


def test_a_running_server_loads_what_is_published_and_its_traffic_stays(tmp_path: Path) -> None:
    models = tmp_path / "models"
    directory = copy_digits(models)
    (directory / "1" / "model.onnx.sha256").unlink()
    model = onnx.load(directory / "1" / "model.onnx")
    model.doc_string = "what served before the export"  # other bytes, so that the export is a new version
    onnx.save(model, directory / "1" / "model.onnx")
    with running_stack(tmp_path, "--processes", "1", *ALONE, models=models) as stack:
        arguments = ("export", "digits", "--models", str(models), "--variants", "fp32", "--server", stack.url)
        result = grayscale(*arguments, "--json", data_dir=stack.data_dir)
        assert result.returncode == 0, result.stderr
        assert json.loads(result.stdout)["loaded"] == ["digits/2"]
        versions = httpx.get(f"{stack.url}/v1/models/digits").json()["versions"]
        assert {row["version"]: row["state"] for row in versions} == {1: "READY", 2: "READY"}
        assert ask(stack, "digits", 4) == ("4", 1)
        pinned = httpx.post(f"{stack.url}/v1/models/digits/predict?version=2", files={"image": digit_png(4)})
        assert pinned.json()["served_by"]["version"] == 2


class Poison:
    """Unpickled, it would leave a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {self.target}",)


def poisoned(directory: Path) -> None:
    torch.save({"weights": Poison(directory / "poisoned")}, directory / "checkpoint.pt")
    use(directory, 'checkpoint = "checkpoint.safetensors"', 'checkpoint = "checkpoint.pt"')


def wrong_shape(directory: Path) -> None:
    weights = load_file(directory / "checkpoint.safetensors")
    name, last = list(weights.items())[-1]
    save_file({**weights, name: torch.zeros((len(last) + 1, *last.shape[1:]))}, directory / "checkpoint.safetensors")


def truncated(directory: Path) -> None:
    path = directory / "checkpoint.safetensors"
    path.write_bytes(path.read_bytes()[:1000])


def other_labels(directory: Path) -> None:
    (directory / "labels.txt").write_text("zero\none\n")


def fixed_batch(directory: Path) -> None:
    weights = numpy_helper.from_array(torch.zeros((784, 10)).numpy(), "weights")
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["image"], ["floats"], to=TensorProto.FLOAT),
            helper.make_node("Reshape", ["floats", "rows"], ["flat"]),
            helper.make_node("MatMul", ["flat", "weights"], ["logits"]),
            helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
        ],
        "fixed",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, [1, 28, 28, 1])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [1, 10])],
        [weights, numpy_helper.from_array(torch.tensor([1, 784]).numpy(), "rows")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])
    model.ir_version = 10
    onnx.save(model, directory / "fixed.onnx")
    network = 'factory = "lenet5"\ncheckpoint = "checkpoint.safetensors"'
    use(directory, network, 'source = "fixed.onnx"')


def use(directory: Path, old: str, new: str) -> None:
    text = (directory / "export.toml").read_text()
    assert old in text
    (directory / "export.toml").write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (poisoned, "is refused and nothing of it was run: it is a pickle that wants"),
        (wrong_shape, "does not fit the network"),
        (truncated, "cut short"),
        (other_labels, "the network wants [2"),
        (fixed_batch, "dynamic batch"),
    ],
)
def test_a_broken_original_is_one_clear_error_and_publishes_nothing(
    tmp_path: Path, spoil: Callable[[Path], None], said: str
) -> None:
    models = tmp_path / "models"
    directory = copy_digits(models)
    spoil(directory)
    before = published(models)
    environment = {"COLUMNS": "200", "GRAYSCALE_DATA_DIR": str(tmp_path / "data")}
    result = CliRunner().invoke(app, ["export", "digits", "--models", str(models)], env=environment)
    assert result.exit_code == 1
    assert said in result.stderr
    assert result.stderr.count("error:") == 1
    assert "Traceback" not in result.stderr
    assert isinstance(result.exception, SystemExit)
    assert published(models) == before
    assert not (directory / "poisoned").exists()
