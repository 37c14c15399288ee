"""The report says everything that was found, on a page that stands alone."""

from __future__ import annotations

import json
import math
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import pytest

from exporters.base import Accuracy, BuiltVariant, Parity, VariantResult
from exporters.recipe import InputRecipe, NetworkRecipe, Recipe
from exporters.report import write_report
from exporters.report.pictures import confusion_matrix, error_histogram, speed_and_accuracy
from tests.support.variant_results import timing

LABELS = ("<cat>", "dog")
ACCURACY = Accuracy(10, 0.9, (1.0, 0.8), (0.8, 1.0), (0.89, 0.89), ((4, 1), (0, 5)), 0.07)


def recipe(directory: Path) -> Recipe:
    grey = InputRecipe(8, 8, 1, (0.5,), (0.5,))
    return Recipe("pets", "classification", LABELS, NetworkRecipe("lenet5"), grey, directory)


def results() -> list[VariantResult]:
    fp32, int8 = (BuiltVariant(name, Path(f"{name}.onnx"), name, notes={"method": "<b>"}) for name in ("fp32", "int8"))
    parity = Parity(10, 1e-7, 1e-6, 1.0, 1.0, (20, 0, 0, 0, 0, 0, 0, 0, 0, 0))
    bad = Parity(10, math.nan, math.inf, 0.9, 0.8, (0, 0, 0, 0, 0, 3, 2, 0, 0, 1))
    return [
        VariantResult(fp32, parity, ACCURACY, ACCURACY, (), (timing(1, 2.0), timing(8, 8.0))),
        VariantResult(int8, bad, None, ACCURACY, ("cosine 0.9 is below 0.99",)),
    ]


def test_the_json_has_every_number_and_null_for_what_is_none(tmp_path: Path) -> None:
    write_report(tmp_path, recipe(tmp_path), results(), "fp32")
    document = json.loads((tmp_path / "report.json").read_text())
    assert document["best"] == "fp32"
    fp32, int8 = document["variants"]
    assert fp32["accuracy"]["confusion"] == [[4, 1], [0, 5]]
    assert fp32["timings"][1]["images_per_s"] == 1000.0
    assert int8["parity"]["max_abs"] is None
    assert int8["failures"] == ["cosine 0.9 is below 0.99"]


class Checked(HTMLParser):
    """Every element that is opened is closed, and nothing is fetched from anywhere."""

    VOID = frozenset({"meta", "br"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert not {"src", "href"} & {name for name, _ in attrs}
        assert tag != "script"
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in ("rect", "circle", "path")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_stands_alone_and_escapes_what_it_shows(tmp_path: Path) -> None:
    write_report(tmp_path, recipe(tmp_path), results(), "fp32")
    page = (tmp_path / "report.html").read_text()
    checked = Checked()
    checked.feed(page)
    assert checked.open == []
    assert "&lt;cat&gt;" in page
    assert "<cat>" not in page
    assert "<b>fp32</b>" in page
    assert "Not published: cosine 0.9 is below 0.99." in page
    assert "prefers-color-scheme: dark" in page


def test_the_confusion_matrix_has_a_cell_for_each_pair_that_occurred() -> None:
    root = ET.fromstring(confusion_matrix(ACCURACY, LABELS))
    titles = [each.text for each in root.iter("title")]
    assert titles == ["<cat> taken for <cat>: 4 of 5", "<cat> taken for dog: 1 of 5", "dog taken for dog: 5 of 5"]


@pytest.mark.parametrize("errors", [(), (0,) * 10])
def test_without_errors_there_is_no_histogram(errors: tuple[int, ...]) -> None:
    assert error_histogram(errors) == ""


def test_speed_stands_against_accuracy_or_agreement() -> None:
    root = ET.fromstring(speed_and_accuracy(results()))
    assert [each.text for each in root.iter("title")] == ["fp32: 1,000 images/s, 90.00 %"]
    assert speed_and_accuracy(results()[1:]) == ""
