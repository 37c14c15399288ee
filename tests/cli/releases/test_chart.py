"""Plots: scales, gaps, and nothing that a name could break out of."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from services.cli.releases.chart import WIDTH, Chart, Mark, duration_words, svg_of
from services.cli.releases.series import Line


def drawn(chart: Chart) -> ET.Element:
    return ET.fromstring(svg_of(chart))


def texts(svg: ET.Element, look: str) -> list[str]:
    return [str(each.text) for each in svg.iter("text") if look in str(each.get("class"))]


@pytest.mark.parametrize(
    ("most", "ticks"),
    [
        (100.0, ["0 %", "50 %", "100 %"]),
        (7.3, ["0 %", "2 %", "4 %", "6 %", "8 %"]),
        (0.004, ["0 %", "0.001 %", "0.002 %", "0.003 %", "0.004 %"]),
        (12345.0, ["0 %", "5000 %", "1e+04 %", "1.5e+04 %"]),
        (0.0, ["0 %", "0.25 %", "0.5 %", "0.75 %", "1 %"]),
    ],
)
def test_a_scale_has_round_numbers_and_room_for_the_highest(most: float, ticks: list[str]) -> None:
    svg = drawn(Chart("Errors", "%", [Line("stable", ((0.0, 0.0), (10.0, most)))]))
    assert texts(svg, "end") == ticks


def test_a_line_is_broken_where_nothing_was_measured() -> None:
    line = Line("a", ((0.0, 1.0), (1.0, 2.0), (2.0, None), (3.0, 1.0), (4.0, None), (5.0, 3.0), (6.0, 3.0)))
    svg = drawn(Chart("Latency", "ms", [line]))
    assert len([path for path in svg.iter("path") if path.get("class") == "line c0"]) == 3
    alone = [dot for dot in svg.iter("circle") if "alone" in str(dot.get("class"))]
    assert len(alone) == 1
    assert alone[0].findtext("title") == "a, 3 s: 1 ms"


def test_a_weight_stays_until_the_next_one() -> None:
    svg = drawn(Chart("Weight", "%", [Line("a", ((0.0, 0.0), (10.0, 50.0)))], top=100.0, is_stepped=True))
    [path] = [path.get("d") for path in svg.iter("path")]
    assert path is not None
    assert "H844.0V" in path


def test_everything_lies_within_the_picture() -> None:
    marks = [Mark(-5.0, "before it began"), Mark(99.0, "after the last point")]
    svg = drawn(Chart("Errors", "%", [Line("a", ((0.0, 5.0), (10.0, 250.0)))], marks, top=100.0))
    for each in svg.iter():
        for name in ("x", "x1", "x2", "cx"):
            assert 0 <= float(each.get(name, 0)) <= WIDTH


def test_names_are_text_and_nothing_else() -> None:
    chart = Chart("<b>", "%", [Line('<script>"', ((0.0, 1.0),))], [Mark(0.0, "</title><script>")])
    assert "<script" not in svg_of(chart)
    assert drawn(chart).get("aria-label") == "<b>"


def test_nothing_measured_is_said() -> None:
    assert texts(drawn(Chart("Errors", "%", [Line("a", ())])), "none") == ["nothing was measured yet"]


@pytest.mark.parametrize(("seconds", "words"), [(0, "0 s"), (45, "45 s"), (120, "2 min"), (5400, "1.5 h")])
def test_durations_have_the_unit_that_fits(seconds: float, words: str) -> None:
    assert duration_words(seconds) == words
