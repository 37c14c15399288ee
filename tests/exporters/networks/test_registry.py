"""Factories: by name, by file, and what is said when they do not work."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from exporters.base import ExportFailed
from exporters.networks.registry import build_network
from tests.support.exported_networks import recipe_of


def test_a_network_of_ours_takes_classes_and_channels_from_the_recipe(tmp_path: Path) -> None:
    network = build_network(recipe_of(tmp_path, "convnet", labels=7, channels=1))
    assert isinstance(network.conv1, nn.Conv2d)
    assert isinstance(network.fc3, nn.Linear)
    assert (network.conv1.in_channels, network.fc3.out_features, network.training) == (1, 7, False)


def test_arguments_of_the_recipe_win(tmp_path: Path) -> None:
    network = build_network(recipe_of(tmp_path, "convnet", labels=7, arguments={"classes": 3}))
    assert isinstance(network.fc3, nn.Linear)
    assert network.fc3.out_features == 3


def test_a_factory_in_a_file_of_the_models_directory_is_called_with_the_arguments_alone(tmp_path: Path) -> None:
    (tmp_path / "nets").mkdir()
    (tmp_path / "nets" / "mine.py").write_text(
        "from __future__ import annotations\n"
        "from dataclasses import dataclass\n"
        "from torch import nn\n"
        "@dataclass\n"
        "class Size:\n    width: int\n"
        "def make(width):\n    return nn.Linear(Size(width).width, 2)\n"
    )
    network = build_network(recipe_of(tmp_path, "nets/mine.py:make", arguments={"width": 5}))
    assert isinstance(network, nn.Linear)
    assert (network.in_features, network.training) == (5, False)


def test_a_factory_outside_the_models_directory_needs_its_absolute_path(tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    outside = tmp_path / "outside.py"
    outside.write_text(
        f"import os\nos.mkdir({str(tmp_path / 'ran')!r})\nfrom torch import nn\ndef make():\n    return nn.Identity()\n"
    )
    (model / "link.py").symlink_to(outside)
    for text in ("../outside.py:make", "link.py:make"):
        with pytest.raises(ExportFailed, match=r"leads out of .*: give the absolute path"):
            build_network(recipe_of(model, text))
    assert not (tmp_path / "ran").exists()
    assert isinstance(build_network(recipe_of(model, f"{outside}:make")), nn.Identity)


@pytest.mark.parametrize(
    ("factory", "source", "arguments", "said"),
    [
        ("resnet99", "", {}, "there is no network 'resnet99': use one of lenet5, convnet, resnet18"),
        (
            "convnet",
            "",
            {"depth": 3},
            "convnet cannot be called with the arguments channels, classes, depth: got an unex",
        ),
        ("gone.py:make", None, {}, "gone.py is not there"),
        ("mine.py:make", "x = 1\n", {}, "mine.py has no function 'make': it has none"),
        ("mine.py:make", "def build():\n    pass\n", {}, "mine.py has no function 'make': it has build"),
        ("mine.py:make", "def make(:\n", {}, "mine.py:make failed while mine.py was imported: SyntaxError"),
        ("mine.py:make", "import nowhere_to_be_found\n", {}, "imported: ModuleNotFoundError: No module named 'nowhere"),
        ("mine.py:make", "raise SystemExit(3)\n", {}, "mine.py:make failed while mine.py was imported: SystemExit: 3"),
        ("mine.py:make", "def make():\n    raise ValueError('no\\nmore')\n", {}, "mine.py:make failed: ValueError: no"),
        ("mine.py:make", "def make():\n    return 3\n", {}, "mine.py:make gave int: it must return a torch.nn.Module"),
        (
            "mine.py:make",
            "def make(a):\n    pass\n",
            {},
            "called with the arguments none: missing a required argument: 'a'",
        ),
        ("mine.txt:make", "x = 1\n", {}, "does not name a Python file: its name must end in .py"),
    ],
)
def test_a_factory_that_does_not_work_is_named(
    factory: str, source: str | None, arguments: dict[str, Any], said: str, tmp_path: Path
) -> None:
    if source and ":" in factory:
        (tmp_path / factory.partition(":")[0]).write_text(source)
    with pytest.raises(ExportFailed, match=re.escape(said)) as error:
        build_network(recipe_of(tmp_path, factory, arguments=arguments))
    assert "\n" not in str(error.value)
