"""Which pictures a folder or a CSV names, and their classes; nothing is decoded."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from exporters.base import ExportFailed
from exporters.recipe import Task

NO_CLASS = -1
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif"})
_NAMED = 5  # classes in a message


@dataclass(frozen=True, slots=True)
class ListedPicture:
    """`label` is the class's index, NO_CLASS for none."""

    path: Path
    label: int


def pictures_of_folder(folder: Path, labels: Sequence[str], task: Task) -> list[ListedPicture]:
    """A folder per class, named as the labels; classes in the labels' order, pictures by name.

    Pictures that lie in the folder itself have no class: enough to calibrate with, and for tasks other than
    classification. Those other tasks may have any folders; where there are no labels, they are numbered by name.
    Raises ExportFailed naming the classes that are missing or too many.
    """
    loose = [ListedPicture(path, NO_CLASS) for path in _pictures_in(folder)]
    found = sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    if loose and found:
        raise ExportFailed(f"{folder} has pictures beside its folders: move each into the folder of its class")
    if loose:
        return loose
    if task == "classification" or labels:
        _check_folders(folder, found, labels)
    names = list(labels) or found
    return [
        ListedPicture(path, index) for index, name in enumerate(names) for path in _pictures_of_class(folder / name)
    ]


def pictures_of_csv(path: Path, labels: Sequence[str], task: Task) -> list[ListedPicture]:
    """Lines of `path,label`, with or without that header; paths are relative to the CSV.

    A label is a label's name or its index; the name wins where a name is a number. It may be left out, except for
    classification. Raises ExportFailed with the line's number.
    """
    by_name = {name: index for index, name in enumerate(labels)}
    pictures = []
    try:
        for line, row in _rows(path):
            try:
                pictures.append(_of_row(row, path.parent, by_name, task))
            except ValueError as error:
                raise ExportFailed(f"{path}, line {line}: {error}") from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise ExportFailed(f"{path} cannot be read as CSV in UTF-8: {error}") from error
    return pictures


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file)
        for row in reader:
            cells = [cell.strip() for cell in row]
            header = reader.line_num == 1 and [cell.lower() for cell in cells] == ["path", "label"]
            if any(cells) and not header:
                yield reader.line_num, cells


def _of_row(row: Sequence[str], directory: Path, by_name: dict[str, int], task: Task) -> ListedPicture:
    """Raises ValueError with what is wrong."""
    if len(row) > 2 or not row[0]:
        raise ValueError(f"use path,label: {','.join(row)[:80]!r} is something else")
    picture = directory / row[0]
    if not picture.is_file():
        raise ValueError(f"there is no file {picture}")
    label = row[1] if len(row) == 2 else ""
    if label in by_name:
        return ListedPicture(picture, by_name[label])
    if label.isdecimal() and int(label[:9]) < len(by_name):
        return ListedPicture(picture, int(label))
    if label or task == "classification":
        raise ValueError(f"{label!r} is none of the {len(by_name)} labels nor an index of one")
    return ListedPicture(picture, NO_CLASS)


def _pictures_in(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and not p.name.startswith("."))


def _pictures_of_class(folder: Path) -> list[Path]:
    pictures = _pictures_in(folder)
    if not pictures:
        raise ExportFailed(f"{folder} holds no pictures ({', '.join(sorted(SUFFIXES))})")
    return pictures


def _check_folders(folder: Path, found: Sequence[str], labels: Sequence[str]) -> None:
    missing, extra = [name for name in labels if name not in found], [name for name in found if name not in labels]
    if missing or extra:
        said = [
            *([f"no folder for {_some(missing)}"] if missing else []),
            *([f"no label for the folder {_some(extra)}"] if extra else []),
        ]
        raise ExportFailed(f"the folders of {folder} are not the recipe's labels: {'; '.join(said)}")


def _some(names: Iterable[str]) -> str:
    names = list(names)
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(repr(name) for name in names[:_NAMED]) + more
