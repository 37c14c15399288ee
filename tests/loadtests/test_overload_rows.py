"""What an overload's figures mean: by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest

from loadtests.overload_plot import svg_of
from loadtests.overload_rows import Curve, OverloadRow, Tail, bounds_of, document_of, row_of, tail_of
from services.cli.measure.open_load import OpenLoad
from services.cli.measure.open_loop import poisson
from services.cli.measure.queue_model import latencies_s

ROW = OverloadRow(
    offered=3.0,
    requests_per_s=30.0,
    goodput=0.96,
    p50_ms=100.0,
    p99_ms=200.0,
    refused_share=0.6,
    refused_p50_ms=1.0,
    refused_p99_ms=4.0,
    errors=0,
    connections=9,
    generator_ms=0.05,
    late_ms=0.1,
)
CURVE = Curve("m", 10.0, (replace(ROW, offered=0.5, goodput=0.5, refused_share=0.0, refused_p99_ms=None), ROW), ())


def load(due_s: list[float], took_s: list[float], status: list[int]) -> OpenLoad:
    due = np.array(due_s)
    return OpenLoad(due, due, due + np.array(took_s), np.array(status, np.int32), 4, 0.001 * len(due_s))


def test_a_row_counts_what_happened_within_its_time() -> None:
    made = load([0.5, 1.0, 2.0, 3.0, 8.0], [1.0, 0.5, 0.001, 0.002, 0.1], [200, 200, 503, 503, 200])
    row = row_of(made, 2.0, capacity=0.5, begin_s=1.0, end_s=5.0)
    assert row.goodput == pytest.approx(2 / 4 / 0.5)  # both answers that came between 1 s and 5 s
    assert [row.p50_ms, row.p99_ms, row.refused_p50_ms, row.refused_p99_ms] == pytest.approx([500.0, 500.0, 1.0, 2.0])
    assert row.refused_share == pytest.approx(2 / 3)
    assert row.requests_per_s == pytest.approx(3 / 4)
    assert [row.errors, row.connections, row.generator_ms] == pytest.approx([0, 4, 1.0])


def test_without_answers_of_a_kind_there_is_no_latency() -> None:
    row = row_of(load([1.0], [math.nan], [0]), 1.0, capacity=1.0, begin_s=0.0, end_s=2.0)
    assert (row.p50_ms, row.p99_ms, row.refused_p50_ms, row.refused_p99_ms) == (None, None, None, None)
    assert (row.goodput, row.refused_share, row.errors) == (0.0, 0.0, 1)


@pytest.mark.parametrize("factor", [1.0, 1.3])
def test_a_served_path_that_is_a_queue_has_the_tail_of_one(factor: float) -> None:
    due_s = poisson(80.0, 100.0, seed=5)
    took_s = latencies_s(due_s.tolist(), 2 / 100.0, 2)
    edge = sorted(took_s)[len(took_s) // 2]
    slow = [each * (factor if each > edge else 1.0) for each in took_s]
    tail = tail_of(load(due_s.tolist(), slow, [200] * len(slow)), capacity=100.0, cores=2)
    assert tail.ratio == pytest.approx(factor, rel=0.001)


@pytest.mark.parametrize(
    ("change", "tiny", "met"),
    [
        ({}, False, [True, True, None]),
        ({"goodput": 0.94}, False, [False, True, None]),
        ({"refused_p99_ms": 5.1}, False, [True, False, None]),
        ({"refused_p99_ms": None}, False, [True, None, None]),
        ({"offered": 2.0}, False, [None, None, None]),
        ({"goodput": 0.41}, True, [True, None]),
        ({"goodput": 0.39}, True, [False, None]),
    ],
)
def test_targets(change: dict[str, float | None], tiny: bool, met: list[bool | None]) -> None:
    curve = replace(CURVE, rows=(CURVE.rows[0], replace(ROW, **change)))  # type: ignore[arg-type]
    assert [bound.is_met for bound in bounds_of(curve, tiny=tiny)] == met


def test_the_peak_is_the_most_that_was_reached_and_the_tail_the_one_in_the_middle() -> None:
    rows = (replace(ROW, offered=1.0, goodput=1.2), ROW)
    curve = Curve("m", 10.0, rows, (Tail(4.0, 4.0), Tail(8.0, 4.0), Tail(4.4, 4.0)))
    goodput, _, tail = bounds_of(curve, tiny=False)
    assert goodput.found == pytest.approx(0.96 / 1.2)
    assert tail.found == pytest.approx(1.1)
    assert tail.is_met is True


def test_the_document_has_everything() -> None:
    document = document_of(CURVE, bounds_of(CURVE, tiny=False))
    assert (document["model"], document["capacity"], len(document["rows"])) == ("m", 10.0, 2)
    assert [target["is_met"] for target in document["targets"]] == [True, True, None]


def test_the_picture_is_an_svg_with_a_point_for_each_figure() -> None:
    picture = ElementTree.fromstring(svg_of([CURVE, replace(CURVE, model="a < b & c")], "there"))
    circles = picture.findall(".//{http://www.w3.org/2000/svg}circle")
    assert len(circles) == 2 * 2 * 2
    assert "a < b & c, 10/s: goodput, of capacity" in [each.text for each in picture.iter()]
