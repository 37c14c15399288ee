"""The generated pictures: sizes, bytes, the same every time."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from services.cli.measure.pictures import HEAVY, LARGE, MEDIUM, PICTURES, SMALL, Picture, fitting_picture, write_picture


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With every picture in it."""
    made = tmp_path_factory.mktemp("pictures")
    for picture in PICTURES.values():
        write_picture(picture, made)
    return made


@pytest.mark.parametrize(
    ("picture", "kind", "mode", "least", "most"),
    [
        (SMALL, "PNG", "L", 300, 1_000),
        (MEDIUM, "JPEG", "RGB", 30_000, 60_000),
        (LARGE, "JPEG", "RGB", 1_250_000, 1_400_000),
        (HEAVY, "JPEG", "RGB", 3_800_000, 4_200_000),
    ],
    ids=lambda value: value.name if isinstance(value, Picture) else "",
)
def test_a_picture_is_of_its_size(
    picture: Picture, kind: str, mode: str, least: int, most: int, directory: Path
) -> None:
    path = write_picture(picture, directory)
    with Image.open(path) as image:
        assert (image.size, image.format, image.mode) == ((picture.width, picture.height), kind, mode)
    assert least <= path.stat().st_size <= most


def test_a_picture_is_the_same_every_time(directory: Path, tmp_path: Path) -> None:
    for picture in (SMALL, MEDIUM):
        assert write_picture(picture, tmp_path).read_bytes() == write_picture(picture, directory).read_bytes()


def test_a_picture_that_is_there_is_not_made_again(tmp_path: Path) -> None:
    (tmp_path / "12MP.jpg").write_bytes(b"kept")
    assert write_picture(LARGE, tmp_path).read_bytes() == b"kept"


@pytest.mark.parametrize(
    ("height", "width", "expected"), [(28, 28, SMALL), (64, 64, SMALL), (65, 20, MEDIUM), (224, 224, MEDIUM)]
)
def test_the_picture_fits_the_model(height: int, width: int, expected: Picture) -> None:
    assert fitting_picture(height, width) == expected
