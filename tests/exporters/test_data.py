"""Labelled pictures as the server would see them, decoded no sooner than they are asked for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from exporters.base import ExportFailed, LabelledImages
from exporters.data import image_settings, labelled_images
from exporters.recipe import InputRecipe, NetworkRecipe, Recipe

GREY = {"color": "grey", "fit": "content", "polarity": "light_on_dark", "interpolation": "bicubic"}


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    """Three classes of 4x4 pictures; the nth picture of class c is all of the grey 50 c + n."""
    picture = InputRecipe(4, 4, 3, (0.5,) * 3, (0.5,) * 3, {"fit": "stretch"})
    made = Recipe("greys", "classification", ("a", "b", "c"), NetworkRecipe("lenet5"), picture, tmp_path)
    for index, label in enumerate(made.labels):
        (tmp_path / "pictures" / label).mkdir(parents=True)
        for n in range(4):
            grey = np.full((9, 7, 3), 50 * index + n, np.uint8)
            Image.fromarray(grey).save(tmp_path / "pictures" / label / f"{n}.png")
    return made


def greys(images: LabelledImages, size: int = 5) -> list[int]:
    return [int(picture[0, 0, 0]) for pictures, _ in images.batches(size) for picture in pictures]


def test_a_folder_comes_in_batches_of_the_inputs_shape_in_a_fixed_order(recipe: Recipe) -> None:
    images = labelled_images("pictures", recipe)
    batches = list(images.batches(5))
    assert [pictures.shape for pictures, _ in batches] == [(5, 4, 4, 3), (5, 4, 4, 3), (2, 4, 4, 3)]
    assert all(pictures.dtype == np.uint8 for pictures, _ in batches)
    assert len(images) == 12
    assert greys(images) == greys(images) == [50 * c + n for c in range(3) for n in range(4)]
    assert images.labels.tolist() == [grey // 50 for grey in greys(images)]
    assert np.concatenate([labels for _, labels in batches]).tolist() == images.labels.tolist()


@pytest.mark.parametrize("limit", [3, 6, 11])
def test_a_limit_leaves_every_class_its_share(recipe: Recipe, limit: int) -> None:
    images = labelled_images("pictures", recipe, limit=limit)
    counts = np.bincount(images.labels, minlength=3)
    assert len(images) == limit
    assert counts.max() - counts.min() <= 1


def test_a_limit_beyond_what_there_is_takes_all(recipe: Recipe) -> None:
    assert len(labelled_images("pictures", recipe, limit=100)) == 12


def test_a_csv_gives_the_pictures_that_it_names(recipe: Recipe) -> None:
    (recipe.directory / "chosen.csv").write_text("pictures/c/1.png,c\npictures/a/3.png,0\n")
    images = labelled_images("chosen.csv", recipe)
    assert greys(images) == [101, 3]
    assert images.labels.tolist() == [2, 0]


def test_pictures_that_cannot_be_read_are_named_in_one_error_when_they_are_reached(recipe: Recipe) -> None:
    folder = recipe.directory / "pictures" / "b"
    (folder / "1.png").write_bytes(b"no picture")
    (folder / "2.png").write_bytes((folder / "3.png").read_bytes()[:40])
    batches = labelled_images("pictures", recipe).batches(4)
    assert len(next(batches)[0]) == 4  # class a is whole, and nothing beyond it was decoded
    with pytest.raises(ExportFailed) as refused:
        next(batches)
    assert str(refused.value).count(".png (") == 2
    assert f"{folder / '1.png'} (" in str(refused.value)


def test_of_many_pictures_that_cannot_be_read_five_are_named(recipe: Recipe) -> None:
    for path in (recipe.directory / "pictures").rglob("*.png"):
        path.write_bytes(b"no picture")
    with pytest.raises(ExportFailed) as refused:
        list(labelled_images("pictures", recipe).batches(2))
    assert str(refused.value).count(".png (") == 5
    assert str(refused.value).endswith("; and more")


def test_a_picture_that_is_gone_is_named_as_one_that_cannot_be_read(recipe: Recipe) -> None:
    images = labelled_images("pictures", recipe)
    (recipe.directory / "pictures" / "a" / "0.png").unlink()
    with pytest.raises(ExportFailed, match=r"a/0\.png \(No such file"):
        list(images.batches(4))


def test_data_that_is_not_there_is_refused_with_the_place_looked_at(recipe: Recipe) -> None:
    with pytest.raises(ExportFailed, match=f"there is no {recipe.directory / 'elsewhere'}"):
        labelled_images("elsewhere", recipe)


def test_data_without_pictures_is_refused(recipe: Recipe) -> None:
    (recipe.directory / "empty.csv").write_text("path,label\n")
    with pytest.raises(ExportFailed, match=r"'empty\.csv' holds no pictures"):
        labelled_images("empty.csv", recipe)


@pytest.mark.parametrize(("text", "count"), [("digits:train", 1437), ("digits:held-out", 360)])
def test_scans_come_light_on_dark_through_the_serving_preprocessing(recipe: Recipe, text: str, count: int) -> None:
    digits = replace(
        recipe, labels=tuple("0123456789"), input=InputRecipe(28, 28, 1, (0.17,), (0.33,), GREY), name="digits"
    )
    images = labelled_images(text, digits)
    pictures, labels = next(images.batches(64))
    assert len(images) == count
    assert pictures.shape == (64, 28, 28, 1)
    assert sorted(set(labels.tolist())) == list(range(10))
    assert np.median(pictures[:, 0]) == 0  # half were sent dark on light: the preprocessing has turned them
    assert pictures.max() == 255


def test_every_other_scan_is_sent_dark_on_light(recipe: Recipe) -> None:
    as_sent = InputRecipe(8, 8, 1, (0.0,), (1.0,), {"fit": "stretch"})
    pictures, _ = next(labelled_images("digits:train", replace(recipe, input=as_sent)).batches(20))
    borders = np.median(pictures[:, :, 0, 0], axis=1)
    assert [bool(border > 127) for border in borders] == [False, True] * 10


def test_a_word_of_the_preprocessing_that_is_unknown_is_refused(recipe: Recipe) -> None:
    wrong = replace(recipe, input=replace(recipe.input, parameters={"fit": "squeeze"}))
    with pytest.raises(ExportFailed, match=r"'squeeze': use one of stretch"):
        image_settings(wrong)
