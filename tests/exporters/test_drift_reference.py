"""References come from an export's evaluation pictures, through the model as it is served."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from exporters.data import Pictures as RealPictures
from exporters.data import labelled_images
from exporters.pipeline import export
from services.shared.drift.base import LiveCounts
from services.shared.drift.reference_files import ReferenceFiles
from services.shared.drift.report import report
from services.shared.model_ref import ModelRef
from tests.support.digit_models import DIGITS
from tests.support.export_parts import parts, recipe

FLOWERS = ModelRef("flowers", 1)
SAMPLE = ModelRef("digits", 1)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder per class of 2x2 pictures, brighter above or below; the recipe's."""
    random = np.random.default_rng(0)
    for label, rows in (("above", (200, 40)), ("below", (40, 200))):
        (tmp_path / "models" / "flowers" / "pictures" / label).mkdir(parents=True)
        for i in range(20):
            pixels = np.array(rows, dtype=np.uint8)[:, np.newaxis] + random.integers(0, 40, (2, 2), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "models" / "flowers" / "pictures" / label / f"{i}.png")
    return tmp_path / "models"


def run(models: Path, tmp_path: Path) -> None:
    made = recipe(models / "flowers")
    real = replace(parts(), labelled_images=lambda text, recipe, limit: labelled_images(text, recipe, limit=limit))
    export(made, models, tell=lambda what, done, total: None, report=tmp_path / "report", parts=real)


def test_an_export_puts_it_beside_the_version(pictures: Path, tmp_path: Path) -> None:
    run(pictures, tmp_path)
    reference = ReferenceFiles(pictures).read(FLOWERS)
    assert reference is not None
    assert (reference.samples, reference.made_from) == (40, "pictures")
    features = {feature.name: feature for feature in reference.features}
    assert set(features) == {"brightness", "contrast", "detail", "class", "confidence"}
    assert dict(zip(features["class"].bins, features["class"].counts, strict=True)) == {
        "none": 0,
        "above": 20,
        "below": 20,
    }


def test_an_export_on_noise_has_none(tmp_path: Path) -> None:
    made = replace(recipe(tmp_path / "models" / "flowers"), data=replace(recipe(tmp_path).data, evaluation=""))
    export(made, tmp_path / "models", tell=lambda what, done, total: None, report=tmp_path / "report", parts=parts())
    assert (tmp_path / "models" / "flowers" / "1" / "provenance.json").exists()
    assert ReferenceFiles(tmp_path / "models").read(FLOWERS) is None


def test_pictures_are_spread_evenly_over_all_where_there_are_many(pictures: Path) -> None:
    images = labelled_images("pictures", recipe(pictures / "flowers"))
    assert isinstance(images, RealPictures)
    chosen = [picture for batch in images.decoded(3, 10) for picture in batch]
    above = [picture for picture in chosen if picture.tensor[0].mean() > picture.tensor[1].mean()]
    assert (len(chosen), len(above)) == (10, 5)


def test_the_command_makes_the_one_that_ships_with_the_sample_model(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from services.cli.commands import app

    shutil.copytree(DIGITS, tmp_path / "digits")
    (tmp_path / "digits" / "1" / "reference.json").unlink()
    arguments = ["models", "reference", "digits", "--from", "digits:held-out", "--models", str(tmp_path), "--json"]
    said = CliRunner().invoke(app, arguments)
    assert said.exit_code == 0, said.output
    assert json.loads(said.stdout)["samples"] == 360
    made, shipped = (ReferenceFiles(root).read(SAMPLE) for root in (tmp_path, DIGITS.parent))
    assert made is not None
    assert shipped is not None
    assert (made.made_from, made.samples) == (shipped.made_from, shipped.samples) == ("digits:held-out", 360)
    assert [feature.name for feature in made.features] == [feature.name for feature in shipped.features]
    # The last bits of a score, and so a picture near an edge, may be another processor's.
    live = LiveCounts(made.samples, {feature.name: feature.counts for feature in made.features})
    assert not report(SAMPLE, shipped, live, 3600).drifting


def test_the_command_says_what_is_wrong(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from services.cli.commands import app
    from services.cli.terminal import Exit

    shutil.copytree(DIGITS, tmp_path / "digits")
    for more in (["--from", str(tmp_path / "nowhere")], ["--from", "digits:held-out", "--version", "7"]):
        said = CliRunner().invoke(app, ["models", "reference", "digits", "--models", str(tmp_path), *more])
        assert said.exit_code == Exit.FAILED
        assert "error:" in said.stderr
