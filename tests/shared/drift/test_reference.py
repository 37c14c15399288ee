"""A reference is made of pictures, written, and read as it was."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from services.shared.drift.bins import MAX_CLASS_BINS
from services.shared.drift.reference import feature_reference, make_reference, read_reference, write_reference
from services.shared.drift.reference_files import ReferenceFiles
from services.shared.errors import InferenceFailed, InvalidInput, NotFound
from tests.support.drift import LABELS, PETS, evenly_grey, glimpse, published


def test_it_is_read_as_it_was_written_but_for_its_identity() -> None:
    made = make_reference(evenly_grey(), LABELS, "pictures")
    data = write_reference(made)
    read = read_reference(data, "here")
    assert replace(read, identity="") == made
    assert read.samples == 300
    assert read.identity == read_reference(data, "there").identity != ""
    assert read.identity != read_reference(data.replace(b"pictures", b"others"), "here").identity


def test_a_size_that_all_pictures_were_cut_to_is_left_out_and_one_that_varies_is_not() -> None:
    cut = evenly_grey()
    assert not {"size", "aspect"} & {feature.name for feature in make_reference(cut, LABELS, "pictures").features}
    as_sent = [replace(each, width=100 + i, height=100 + i) for i, each in enumerate(cut)]
    told = {feature.name: feature for feature in make_reference(as_sent, LABELS, "pictures").features}
    assert "aspect" not in told
    assert told["size"].counts == (30,) * 10


def test_classes_are_named_and_counted() -> None:
    made = make_reference(evenly_grey(), LABELS, "pictures")
    [classes] = [feature for feature in made.features if feature.name == "class"]
    assert dict(zip(classes.bins, classes.counts, strict=True)) == {"none": 0, "cat": 100, "dog": 100, "fox": 100}


def test_many_classes_are_named_in_groups() -> None:
    labels = [f"kind {i}" for i in range(100)]
    made = feature_reference("class", [float(i % 100) for i in range(1000)], labels)
    assert len(made.bins) == len(made.counts) == MAX_CLASS_BINS
    assert made.bins[0] == "kind 0 … kind 6"
    assert made.bins[-1].endswith("kind 99")


def test_embeddings_bring_their_axes_and_are_measured_by_what_the_file_says() -> None:
    random = np.random.default_rng(0)
    made = make_reference(
        [
            replace(each, label=None, score=None, vector=random.normal(size=8).astype(np.float32))
            for each in evenly_grey()
        ],
        (),
        "p",
    )
    read = read_reference(write_reference(made), "here")
    assert made.axes is not None
    assert read.axes is not None
    assert np.array_equal(read.axes.mean, made.axes.mean)
    assert np.array_equal(read.axes.directions, made.axes.directions)
    assert read.axes.directions.shape == (3, 8)
    assert {feature.name for feature in read.features} >= {"embedding_distance", "embedding_axis_3"}


def test_no_pictures_are_no_reference() -> None:
    with pytest.raises(InvalidInput, match="needs pictures"):
        make_reference([], LABELS, "nothing")


def _without(document: dict[str, Any]) -> None:
    del document["samples"]


def _other_format(document: dict[str, Any]) -> None:
    document["format"] = 2


def _short(document: dict[str, Any]) -> None:
    document["features"][0]["counts"].pop()


def _descending(document: dict[str, Any]) -> None:
    document["features"][0]["edges"].reverse()


def _empty(document: dict[str, Any]) -> None:
    document["features"][0]["counts"] = [0] * len(document["features"][0]["counts"])


def _a_word(document: dict[str, Any]) -> None:
    document["features"] = "none"


@pytest.mark.parametrize("damage", [_without, _other_format, _short, _descending, _empty, _a_word])
def test_a_file_that_cannot_be_right_is_refused(damage: Any) -> None:
    document = json.loads(write_reference(make_reference(evenly_grey(), LABELS, "pictures")))
    damage(document)
    with pytest.raises(InferenceFailed, match=r"^reference\.json of pets cannot be read: "):
        read_reference(json.dumps(document).encode(), "reference.json of pets")


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff", b"null"])
def test_what_is_no_document_is_refused(data: bytes) -> None:
    with pytest.raises(InferenceFailed):
        read_reference(data, "here")


def test_a_repository_keeps_it_beside_the_version(tmp_path: Path) -> None:
    files, read = published(tmp_path)
    assert (tmp_path / "pets" / "1" / "reference.json").stat().st_mode & 0o777 == 0o644
    before = files.stamp(PETS)
    files.write(PETS, make_reference([glimpse(i) for i in range(100)], LABELS, "others"))
    again = files.read(PETS)
    assert again is not None
    assert (again.made_from, again.identity != read.identity) == ("others", True)
    assert before is not None
    assert files.stamp(PETS) != before


def test_a_version_without_one_and_a_repository_elsewhere_have_none(tmp_path: Path) -> None:
    (tmp_path / "pets" / "1").mkdir(parents=True)
    for root in (tmp_path, tmp_path / "nowhere"):
        assert ReferenceFiles(root).read(PETS) is None
        assert ReferenceFiles(root).stamp(PETS) is None
    with pytest.raises(NotFound):
        ReferenceFiles(tmp_path / "nowhere").write(PETS, make_reference([glimpse(1)], LABELS, "p"))


def test_a_link_out_of_the_repository_is_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside.json"
    outside.write_bytes(write_reference(make_reference([glimpse(1)], LABELS, "p")))
    (tmp_path / "models" / "pets" / "1").mkdir(parents=True)
    (tmp_path / "models" / "pets" / "1" / "reference.json").symlink_to(outside)
    with pytest.raises(InferenceFailed, match="leads out"):
        ReferenceFiles(tmp_path / "models").read(PETS)
