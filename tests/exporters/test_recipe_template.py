"""A recipe that was written by asking is one that can be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporters.recipe import DataRecipe, Gates, ProfileRecipe
from exporters.recipe_file import read_recipe
from exporters.recipe_template import Answers, recipe_text


@pytest.mark.parametrize(
    "answers",
    [
        Answers(),
        Answers(channels=1, height=28, width=30, factory="lenet5", evaluation="digits:held-out", fit="contain"),
        Answers(calibration="digits:train", variants=("fp32", "int8")),
        Answers(factory='we "ird.onnx', labels="lab\\els.txt"),
        Answers(task="embedding", factory="siamese", labels=""),
    ],
)
def test_what_is_written_is_read_back_with_the_answers_and_the_defaults(tmp_path: Path, answers: Answers) -> None:
    directory = tmp_path / "flowers"
    directory.mkdir()
    for name in (answers.checkpoint, answers.labels, answers.factory):
        if name:
            (directory / name).write_text("rose\n")
    (directory / "export.toml").write_text(recipe_text("flowers", answers))
    recipe = read_recipe(directory)
    shape = recipe.input
    assert (shape.height, shape.width, shape.channels) == (answers.height, answers.width, answers.channels)
    assert shape.parameters == {"fit": answers.fit}
    assert recipe.network.source or recipe.network.factory == answers.factory
    assert recipe.data == DataRecipe(answers.calibration, answers.evaluation)
    assert recipe.variants == answers.variants
    assert (recipe.gates, recipe.profile, recipe.task) == (Gates(), ProfileRecipe(), answers.task)
