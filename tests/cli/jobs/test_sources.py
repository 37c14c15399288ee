"""What arguments of `jobs submit` mean."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from services.cli.jobs.sources import BadSource, SourceFile, batches, find_sources


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with a folder `photos` of images and other things."""
    names = (
        *("photos/b.jpg", "photos/a.PNG", "photos/sub/c.webp", "photos/sub/deep/d.TIFF", "photos/e[1].jpeg"),
        *("photos/notes.txt", "photos/.hidden.jpg", "photos/.git/x.jpg", "photos/old.zip", "photos/noending"),
        "z.zip",
    )
    for name in names:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * len(path.name))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def images(*arguments: str) -> list[str]:
    return [str(image.path) for image in find_sources(arguments).images]


WALKED = ["photos/a.PNG", "photos/b.jpg", "photos/e[1].jpeg", "photos/sub/c.webp", "photos/sub/deep/d.TIFF"]


def test_a_directory_is_walked_in_order_for_images_that_are_not_hidden(photos: Path) -> None:
    found = find_sources(["photos"])
    assert [str(image.path) for image in found.images] == WALKED
    assert found.archives == ()
    assert found.left_out == 4  # notes.txt, .hidden.jpg, old.zip, noending; what is in .git is not even looked at
    assert found.size_bytes == sum(len(Path(name).name) for name in WALKED)


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["photos/b.jpg", "photos/a.PNG"], ["photos/b.jpg", "photos/a.PNG"]),  # as given
        (["photos/b.jpg", "photos"], ["photos/b.jpg", *[name for name in WALKED if name != "photos/b.jpg"]]),
        (["photos/b.jpg", "photos/b.jpg"], ["photos/b.jpg"]),
        (["photos/*.jpg"], ["photos/b.jpg"]),
        (["photos/*"], WALKED),  # as a shell would have it
        (["photos/**/*.webp"], ["photos/sub/c.webp"]),
        (["photos/**"], sorted(WALKED)),
        (["photos/e[1].jpeg"], ["photos/e[1].jpeg"]),  # a file's name goes before a pattern
        (["photos/notes.txt"], ["photos/notes.txt"]),  # who names it wants it
        (["photos/.hidden.jpg"], ["photos/.hidden.jpg"]),
    ],
)
def test_files_and_patterns_are_images_in_the_order_given(
    photos: Path, arguments: Sequence[str], found: list[str]
) -> None:
    assert images(*arguments) == found


def test_archives_are_apart_from_images(photos: Path) -> None:
    found = find_sources(["z.zip", "photos/b.jpg", "photos/*.zip"])
    assert [str(archive.path) for archive in found.archives] == ["z.zip", "photos/old.zip"]
    assert [str(image.path) for image in found.images] == ["photos/b.jpg"]


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("nowhere", "no such file: nowhere"),
        ("nowhere/*.jpg", "nothing fits nowhere/\\*.jpg"),
        ("photos/*.txt", "there are no images in photos/\\*.txt \\(1 other files were left out\\)"),
        ("empty", "there are no images in empty$"),
        ("photos/b.jpg/x", "no such file"),
        ("pipe", "pipe is not a file"),
        ("n" * 5000, "too long"),
    ],
)
def test_what_cannot_be_sent_says_why(photos: Path, argument: str, said: str) -> None:
    (photos / "empty").mkdir()
    os.mkfifo(photos / "pipe")
    with pytest.raises(BadSource, match=said):
        find_sources([argument])


def test_a_pipe_and_a_link_to_nowhere_in_a_directory_are_left_out_and_a_link_to_an_image_is_sent(photos: Path) -> None:
    folder = photos / "links"
    folder.mkdir()
    os.mkfifo(folder / "a.jpg")
    (folder / "b.jpg").symlink_to(folder / "gone.jpg")
    (folder / "c.jpg").symlink_to(photos / "photos/b.jpg")
    (folder / "loop").symlink_to(folder)
    found = find_sources(["links"])
    assert [str(image.path) for image in found.images] == ["links/c.jpg"]
    assert found.left_out == 2


def files(*sizes: int) -> list[SourceFile]:
    return [SourceFile(Path(str(index)), size) for index, size in enumerate(sizes)]


@pytest.mark.parametrize(
    ("sizes", "counts"),
    [
        ([], []),
        ([1], [1]),
        ([1, 1, 1], [3]),
        ([1, 1, 1, 1], [3, 1]),
        ([5, 5], [2]),
        ([5, 6], [1, 1]),
        ([11], [1]),  # too large for any, and the server's matter
        ([1, 11, 1], [1, 1, 1]),
        ([0, 0, 0, 0, 0, 0, 0], [3, 3, 1]),
    ],
)
def test_a_job_has_as_many_images_as_fit_in_order(sizes: list[int], counts: list[int]) -> None:
    found = list(batches(files(*sizes), max_images=3, max_bytes=10))
    assert [len(batch) for batch in found] == counts
    assert [image for batch in found for image in batch] == files(*sizes)


def test_a_thousand_and_one_images_are_three_jobs() -> None:
    assert [len(batch) for batch in batches(files(*[1] * 1001))] == [500, 500, 1]
