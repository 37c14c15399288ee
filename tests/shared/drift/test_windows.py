"""A window is the sum over the files of all processes."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from services.shared.drift.base import MAX_WINDOW_S, SLOT_S
from services.shared.drift.features import features_of
from services.shared.drift.windows import WindowWriter, forget_old, models_of, read_counts, window_of
from services.shared.model_ref import ModelRef
from tests.support.drift import PETS, glimpse, published

NOW_S = 1_700_000_000.0


def test_processes_add_up_also_those_that_have_ended(tmp_path: Path) -> None:
    _, reference = published(tmp_path / "models")
    for process, grey in (("a", 60), ("b", 190), ("c", 190)):
        writer = WindowWriter(tmp_path / "drift", process)
        for _ in range(10):
            writer.add(PETS, reference, features_of(glimpse(grey), None), NOW_S)
        writer.write()
    live = window_of(read_counts(tmp_path / "drift"), PETS, reference, MAX_WINDOW_S, NOW_S)
    assert live.samples == 30
    assert live.counts["brightness"][0] == 10
    assert live.counts["brightness"][-1] == 20
    assert live.counts["class"] == (0, 30, 0, 0)


@pytest.mark.parametrize(
    ("ago_s", "window_s", "counted"),
    [(0, 300, 1), (240, 300, 1), (500, 300, 0), (500, 3600, 1), (3500, 3600, 1), (4000, 3600, 0)],
)
def test_a_window_ends_with_its_length(tmp_path: Path, ago_s: int, window_s: int, counted: int) -> None:
    _, reference = published(tmp_path / "models")
    writer = WindowWriter(tmp_path, "a")
    writer.add(PETS, reference, {"brightness": 0.5}, NOW_S - ago_s)
    writer.write()
    assert window_of(read_counts(tmp_path), PETS, reference, window_s, NOW_S).samples == counted


def test_counts_of_another_reference_do_not_count_and_go(tmp_path: Path) -> None:
    _, reference = published(tmp_path / "models")
    other = replace(reference, identity="other")
    writer = WindowWriter(tmp_path, "a")
    writer.add(PETS, other, {"brightness": 0.5}, NOW_S)
    writer.write()
    assert window_of(read_counts(tmp_path), PETS, reference, MAX_WINDOW_S, NOW_S).samples == 0
    writer.add(PETS, reference, {"brightness": 0.5}, NOW_S)
    writer.write()
    assert window_of(read_counts(tmp_path), PETS, reference, MAX_WINDOW_S, NOW_S).samples == 1
    assert window_of(read_counts(tmp_path), PETS, other, MAX_WINDOW_S, NOW_S).samples == 0


def test_a_file_does_not_grow_with_time(tmp_path: Path) -> None:
    _, reference = published(tmp_path / "models")
    writer, sizes = WindowWriter(tmp_path, "a"), []
    for minute in range(200):
        writer.add(PETS, reference, {"brightness": 0.5}, NOW_S + minute * SLOT_S)
        writer.write()
        sizes.append((tmp_path / "a.json").stat().st_size)
    assert sizes[70:] == [sizes[70]] * 130


def test_a_damaged_file_does_not_hide_the_others(tmp_path: Path) -> None:
    _, reference = published(tmp_path / "models")
    writer = WindowWriter(tmp_path, "b")
    writer.add(PETS, reference, {"brightness": 0.5}, NOW_S)
    writer.write()
    (tmp_path / "a.json").write_text("{")
    assert window_of(read_counts(tmp_path), PETS, reference, MAX_WINDOW_S, NOW_S).samples == 1
    assert models_of(read_counts(tmp_path)) == (PETS,)


def test_what_was_seen_is_told_once_for_all_processes(tmp_path: Path) -> None:
    _, reference = published(tmp_path / "models")
    other = ModelRef("pets", 10)
    for process in ("a", "b"):
        writer = WindowWriter(tmp_path, process)
        for ref in (other, PETS):
            writer.add(ref, reference, {"brightness": 0.5}, NOW_S)
        writer.write()
    assert models_of(read_counts(tmp_path)) == (PETS, other)
    assert models_of(read_counts(tmp_path / "nowhere")) == ()


def test_files_that_no_window_reaches_are_removed(tmp_path: Path) -> None:
    for name, ago_s in (("old.json", 3 * MAX_WINDOW_S), ("new.json", MAX_WINDOW_S)):
        (tmp_path / name).write_text("{}")
        os.utime(tmp_path / name, (NOW_S - ago_s, NOW_S - ago_s))
    forget_old(tmp_path, NOW_S)
    assert [path.name for path in tmp_path.iterdir()] == ["new.json"]
