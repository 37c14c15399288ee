"""How `grayscale export`, `export init`, `profile` and `evaluate` speak; the pipeline behind them is a small one."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner, Result

import exporters.parts
from exporters.recipe_file import read_recipe
from services.cli.commands import app
from services.cli.terminal import Exit
from services.shared.repository.disk import DiskRepository
from tests.support.digit_models import copy_digits
from tests.support.export_parts import WEIGHTS, LinearVariant, parts, write_linear

RECIPE = """\
[model]
task = "classification"
labels = "labels.txt"
[network]
factory = "lenet5"
checkpoint = "weights"
[input]
height = 2
width = 2
channels = 1
mean = [0]
std = [1]
fit = "stretch"
[data]
calibration = "."
evaluation = "."
[variants]
build = ["int8"]
[profile]
batch_sizes = [1, 4]
seconds = 0.01
"""


def run(*arguments: str, **options: str) -> Result:
    return CliRunner().invoke(app, list(arguments), env={"COLUMNS": "200", **options})


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with the recipe of `flowers`, and a small classifier as its original."""
    directory = tmp_path / "models" / "flowers"
    directory.mkdir(parents=True)
    (directory / "export.toml").write_text(RECIPE)
    (directory / "labels.txt").write_text("above\nbelow\n")
    (directory / "weights").write_bytes(b"")
    monkeypatch.setenv("GRAYSCALE_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setattr(exporters.parts, "export_parts", lambda: parts(LinearVariant("int8")))
    return tmp_path / "models"


def published(models: Path) -> list[str]:
    repository = DiskRepository(models)
    return [f"{n}/{v}" for n in repository.names() for v in repository.versions(n)]


def test_a_table_says_what_became_of_each_variant(models: Path) -> None:
    result = run("export", "flowers", "--models", str(models))
    assert result.exit_code == Exit.DONE, result.output
    assert published(models) == ["flowers/1", "flowers_int8/1"]
    for word in ("agreement", "accuracy", "max error", "best images/s", "p50", "100.00 %", "flowers_int8/1"):
        assert word in result.stdout
    assert "gives the most" in result.stdout
    again = run("export", "flowers", "--models", str(models))
    assert "this very model already: nothing new is published" in again.stdout
    assert published(models) == ["flowers/1", "flowers_int8/1"]


def test_machines_get_one_json_document(models: Path) -> None:
    result = run("export", "--json", "flowers", "--models", str(models), "--version", "5")
    assert result.exit_code == Exit.DONE, result.output
    document = json.loads(result.stdout)
    assert [(v["variant"], v["published"], v["is_new"]) for v in document["variants"]] == [
        ("fp32", "flowers/5", True),
        ("int8", "flowers_int8/5", True),
    ]
    assert document["variants"][1]["parity"]["top1_agreement"] == 1.0
    assert document["best"]["variant"] in ("fp32", "int8")
    assert Path(document["report"]).exists()


def test_variants_can_be_named_instead_of_the_recipes(models: Path) -> None:
    assert run("export", "flowers", "--models", str(models), "--variants", "fp32").exit_code == Exit.DONE
    assert published(models) == ["flowers/1"]
    wrong = run("export", "flowers", "--models", str(models), "--variants", "int88")
    assert (wrong.exit_code, "did you mean int8?" in wrong.output) == (Exit.FAILED, True)


def test_a_variant_that_fails_ends_with_exit_code_1_after_the_others_are_published(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    turned = LinearVariant("int8", lambda path: write_linear(path, -WEIGHTS))
    monkeypatch.setattr(exporters.parts, "export_parts", lambda: parts(turned))
    result = run("export", "flowers", "--models", str(models))
    assert result.exit_code == Exit.FAILED
    assert "int8 is not published: " in result.stdout
    assert published(models) == ["flowers/1"]


def test_a_mistake_in_the_recipe_is_one_sentence(models: Path) -> None:
    (models / "flowers" / "export.toml").write_text(RECIPE.replace("factory", "factori"))
    result = run("export", "flowers", "--models", str(models))
    assert result.exit_code == Exit.FAILED
    assert "export.toml:5: [network] factori is not a key of this section: did you mean factory?" in result.output
    assert "Traceback" not in result.output
    nobody = run("export", "nobody", "--models", str(models))
    assert (nobody.exit_code, "grayscale export init" in nobody.output) == (Exit.FAILED, True)


def test_without_pytorch_the_way_out_is_said(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *_: None if name == "torch" else find_spec(name))
    result = run("export", "flowers", "--models", str(models))
    assert result.exit_code == Exit.FAILED
    assert "run `make dev`: exporting needs PyTorch" in result.output
    assert published(models) == []


def test_a_named_server_loads_each_version_and_nothing_else(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str, bytes, str]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append((request.method, request.url.path, request.content, request.headers["authorization"]))
        return httpx.Response(200 if len(asked) < 3 else 503, json={"detail": "the queue is full"})

    transport, client = httpx.MockTransport(answer), httpx.Client
    monkeypatch.setattr(httpx, "Client", lambda **options: client(**options, transport=transport))
    arguments = ("export", "flowers", "--models", str(models), "--server", "http://other:8080", "--key", "secret")
    result = run(*arguments)
    assert result.exit_code == Exit.DONE, result.output
    assert "traffic did not move" in result.stdout
    assert asked == [
        ("POST", f"/v2/repository/models/{name}/load", b'{"parameters":{"version":1}}', "Bearer secret")
        for name in ("flowers", "flowers_int8")
    ]
    refused = run(*arguments)
    assert (refused.exit_code, "the queue is full" in refused.output) == (Exit.REFUSED, True)


def test_help_names_both_ways_to_export() -> None:
    result = run("export", "--help")
    assert result.exit_code == 0
    assert "grayscale export NAME" in result.output
    assert "init" in result.output
    assert "--server" in run("export", "run", "--help").output
    assert run("export").exit_code == Exit.USAGE


@pytest.fixture
def answers() -> str:
    """Grey pictures of 28 x 28, the weights where they are expected, data that ships with scikit-learn."""
    return "\n".join(
        ("", "lenet5", "", "", "28", "28", "1", "content", "digits:train", "digits:held-out", "fp32,int8", "")
    )


def test_a_recipe_is_written_by_asking(tmp_path: Path, answers: str) -> None:
    directory = tmp_path / "flowers"
    result = CliRunner().invoke(app, ["export", "init", str(directory)], input=answers)
    assert result.exit_code == Exit.DONE, result.output
    assert "[resnet50]" in result.output  # the default is shown
    (directory / "checkpoint.safetensors").write_bytes(b"")
    (directory / "labels.txt").write_text("a\n")
    recipe = read_recipe(directory)
    assert (recipe.network.factory, recipe.task, recipe.variants) == ("lenet5", "classification", ("fp32", "int8"))
    assert (recipe.input.height, recipe.input.channels, recipe.data.evaluation) == (28, 1, "digits:held-out")
    again = run("export", "init", str(directory), "--yes")
    assert (again.exit_code, "is there already" in again.output) == (Exit.USAGE, True)


def test_a_recipe_is_written_without_asking(tmp_path: Path) -> None:
    options = ("--network", "resnet18", "--height", "64", "--width", "64", "--variants", "fp32,fp16")
    result = run("export", "init", str(tmp_path / "flowers"), "--yes", *options)
    assert result.exit_code == Exit.DONE, result.output
    text = (tmp_path / "flowers" / "export.toml").read_text()
    assert 'factory = "resnet18"' in text
    assert "height = 64" in text
    assert 'build = ["fp32", "fp16"]' in text
    for option, value in (("--task", "poetry"), ("--variants", "int7")):
        wrong = run("export", "init", str(tmp_path / "trees"), "--yes", option, value)
        assert wrong.exit_code == Exit.USAGE
        assert value in wrong.output
    assert not (tmp_path / "trees").exists()


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample model, with a second version that is the first once more."""
    root = tmp_path_factory.mktemp("models")
    model = copy_digits(root)
    shutil.copytree(model / "1", model / "2")
    return root


def test_published_models_are_profiled_side_by_side(digits: Path) -> None:
    common = ("--models", str(digits), "--batch", "1", "--batch", "4", "--threads", "1", "--seconds", "0.02")
    result = run("profile", "digits/1", "digits", *common, "--json")
    assert result.exit_code == Exit.DONE, result.output
    document = json.loads(result.stdout)
    assert list(document) == ["digits/1", "digits/2"]
    assert [(row["threads"], row["batch"]) for row in document["digits/2"]] == [(1, 1), (1, 4)]
    assert all(row["images_per_s"] > 0 and row["runs"] >= 3 for rows in document.values() for row in rows)
    table = run("profile", "digits", *common)
    assert "images/s" in table.stdout
    assert "1.00×" in table.stdout


def test_a_published_model_is_scored_on_labelled_pictures(digits: Path) -> None:
    result = run("evaluate", "digits/1", "digits:held-out", "--models", str(digits), "--json")
    assert result.exit_code == Exit.DONE, result.output
    document = json.loads(result.stdout)
    assert document["model"] == "digits/1"
    assert document["images"] == 360
    assert document["accuracy"] >= 0.99
    assert document["labels"] == [str(n) for n in range(10)]
    assert "pictures right" in run("evaluate", "digits", "digits:held-out", "--models", str(digits)).stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("profile", "nobody"), "model 'nobody' is not in the repository"),
        (("profile", "digits/9"), "no version 9"),
        (("profile", "digits/x"), "is not a model version"),
        (("evaluate", "nobody", "digits:held-out"), "model 'nobody' is not in the repository"),
        (("evaluate", "digits", "no-such-folder"), "no-such-folder"),
    ],
)
def test_what_is_not_there_is_said_in_one_sentence(digits: Path, arguments: tuple[str, ...], said: str) -> None:
    result = run(*arguments, "--models", str(digits))
    assert result.exit_code == Exit.FAILED
    assert said in result.output
    assert "Traceback" not in result.output
