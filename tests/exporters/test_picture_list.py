"""Which pictures a folder or a CSV names: nothing is decoded, so empty files will do."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporters.base import ExportFailed
from exporters.picture_list import NO_CLASS, pictures_of_csv, pictures_of_folder

LABELS = ("cat", "dog")


def touch(directory: Path, *names: str) -> Path:
    for name in names:
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).touch()
    return directory


def write_csv(directory: Path, text: str) -> Path:
    path = touch(directory, "a.png", "more/b.png") / "pictures.csv"
    path.write_text(text)
    return path


def test_folders_are_classes_in_the_order_of_the_labels_and_other_files_are_left_out(tmp_path: Path) -> None:
    touch(tmp_path, "dog/2.JPG", "dog/1.png", "dog/notes.txt", "dog/.hidden.png", "cat/z.webp", ".git/x.png")
    listed = pictures_of_folder(tmp_path, LABELS, "classification")
    assert [(str(each.path.relative_to(tmp_path)), each.label) for each in listed] == [
        ("cat/z.webp", 0),
        ("dog/1.png", 1),
        ("dog/2.JPG", 1),
    ]


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (["cat/1.png"], "no folder for 'dog'$"),
        (["cat/1.png", "dog/1.png", "cow/1.png"], "labels: no label for the folder 'cow'$"),
        (["cat/1.png", "Dog/1.png"], "no folder for 'dog'; no label for the folder 'Dog'$"),
        (["cat/1.png", "dog/1.txt"], "dog holds no pictures"),
        (["cat/1.png", "dog/1.png", "3.png"], "pictures beside its folders"),
    ],
)
def test_folders_that_are_not_the_labels_are_told_apart(tmp_path: Path, files: list[str], said: str) -> None:
    with pytest.raises(ExportFailed, match=said):
        pictures_of_folder(touch(tmp_path, *files), LABELS, "classification")


def test_of_many_missing_classes_five_are_named(tmp_path: Path) -> None:
    touch(tmp_path, "0/1.png")
    with pytest.raises(ExportFailed, match=r"'1', '2', '3', '4', '5' and 94 more$"):
        pictures_of_folder(tmp_path, tuple(map(str, range(100))), "classification")


def test_loose_pictures_have_no_class(tmp_path: Path) -> None:
    listed = pictures_of_folder(touch(tmp_path, "b.png", "a.png"), LABELS, "classification")
    assert [(each.path.name, each.label) for each in listed] == [("a.png", NO_CLASS), ("b.png", NO_CLASS)]


def test_without_labels_the_folders_of_an_embedding_are_numbered_by_name(tmp_path: Path) -> None:
    listed = pictures_of_folder(touch(tmp_path, "zoe/1.png", "ann/1.png"), (), "embedding")
    assert [(each.path.parent.name, each.label) for each in listed] == [("ann", 0), ("zoe", 1)]


@pytest.mark.parametrize(
    "text",
    [
        "path,label\na.png,cat\nmore/b.png,dog\n",
        "a.png,cat\nmore/b.png,dog",
        "Path, Label\n a.png , 0\n\nmore/b.png,1\n",
        "\ufeffpath,label\r\na.png,cat\r\nmore/b.png,1\r\n",
    ],
    ids=["header", "no header", "indices, spaces and an empty line", "as a spreadsheet writes it"],
)
def test_a_csv_names_pictures_beside_it_by_label_or_index(tmp_path: Path, text: str) -> None:
    listed = pictures_of_csv(write_csv(tmp_path, text), LABELS, "classification")
    assert [(each.path, each.label) for each in listed] == [(tmp_path / "a.png", 0), (tmp_path / "more/b.png", 1)]


def test_a_label_that_is_a_number_is_a_name_before_it_is_an_index(tmp_path: Path) -> None:
    listed = pictures_of_csv(write_csv(tmp_path, "a.png,1\nmore/b.png,2\n"), ("1", "2", "0"), "classification")
    assert [each.label for each in listed] == [0, 1]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a.png,cat\nc.png,dog\n", "line 2: there is no file .*c.png"),
        ("path,label\na.png,cow\n", "line 2: 'cow' is none of the 2 labels"),
        ("\n\na.png,2\n", "line 3: '2' is none of the 2 labels"),
        ("a.png,-1\n", "line 1: '-1' is none"),
        ("a.png\n", "line 1: '' is none"),
        ("a.png,cat,0.7\n", "line 1: use path,label"),
        (",cat\n", "line 1: use path,label"),
    ],
)
def test_a_line_that_cannot_be_used_is_named_by_its_number(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ExportFailed, match=said):
        pictures_of_csv(write_csv(tmp_path, text), LABELS, "classification")


def test_a_label_may_be_left_out_where_the_task_needs_none(tmp_path: Path) -> None:
    listed = pictures_of_csv(write_csv(tmp_path, "a.png\nmore/b.png,\n"), LABELS, "detection")
    assert [each.label for each in listed] == [NO_CLASS, NO_CLASS]


def test_a_csv_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pictures.csv").write_bytes(b"a.png,\xff\xfe\n")
    with pytest.raises(ExportFailed, match="cannot be read as CSV in UTF-8"):
        pictures_of_csv(tmp_path / "pictures.csv", LABELS, "classification")
