"""Medians and ratios over rounds, and how they are shown."""

from __future__ import annotations

import io
import json
import xml.etree.ElementTree as ET

import orjson
import pytest
from rich.console import Console

from services.cli.measure.load import Load
from services.cli.measure.plot import groups_of, svg_of
from services.cli.measure.report import Circumstances, brief, circumstances, document_of, table_of
from services.cli.measure.rows import BASELINE, CEILING, GRPC, IN_PROCESS, Point, Sample, ratio, rows_of
from services.cli.measure.server_process import Memory

MADE = Circumstances("a processor", 2, "wrk", {"grayscale": "1"}, 3)


def sample(rate: float, *, ms: float = 1.0, errors: int = 0, megabytes: int | None = None) -> Sample:
    load = Load(round(10 * rate), 10.0, ms, 2 * ms, 3 * ms, refused=errors)
    if megabytes is None:
        return Sample(load)
    return Sample(load, cpu_ms=ms / 2, memory=Memory(megabytes * 1_000_000, proportional=True))


def point(way: str, concurrency: int) -> Point:
    return Point("m", "p", way, concurrency)


MEASURED = {
    point(CEILING, 2): [sample(100), sample(200), sample(100)],
    point(IN_PROCESS, 8): [sample(90, ms=5, megabytes=30), sample(150, ms=3, megabytes=10), sample(80, ms=4)],
    point(BASELINE, 8): [sample(30), sample(30), sample(40, errors=2)],
    point(CEILING, 1): [sample(50)],
    point(IN_PROCESS, 1): [sample(40)],
}


def test_a_row_is_the_median_of_its_rounds() -> None:
    row = next(row for row in rows_of(MEASURED, cores=2) if row.point == point(IN_PROCESS, 8))
    assert (row.requests_per_s, row.lowest_per_s, row.highest_per_s, row.rounds) == (90, 80, 150, 3)
    assert (row.p50_ms, row.p95_ms, row.p99_ms) == (4, 8, 12)
    assert row.cpu_ms == 2.0  # of the two rounds that have it
    assert row.memory == Memory(30_000_000, proportional=True)
    assert row.errors == 0


def test_ratios_are_taken_within_a_round() -> None:
    rows = {row.point: row for row in rows_of(MEASURED, cores=2)}
    assert rows[point(IN_PROCESS, 8)].of_ceiling == 0.8  # of 0.9, 0.75 and 0.8: the medians' ratio would be 0.9
    assert rows[point(IN_PROCESS, 8)].of_baseline == 3.0
    assert rows[point(IN_PROCESS, 1)].of_ceiling == 0.8  # a lone client's ceiling is another
    assert rows[point(IN_PROCESS, 1)].of_baseline is None
    assert rows[point(BASELINE, 8)].of_baseline is None
    assert rows[point(CEILING, 2)].of_ceiling is None


def test_rows_keep_the_order_of_measuring() -> None:
    assert [row.point for row in rows_of(MEASURED, cores=2)] == list(MEASURED)
    assert rows_of({point(GRPC, 1): []}, cores=2) == ()


def test_errors_of_all_rounds_are_added() -> None:
    assert [row.errors for row in rows_of(MEASURED, cores=2)] == [0, 0, 2, 0, 0]


@pytest.mark.parametrize(
    ("ones", "others", "expected"),
    [
        ([], [], None),
        ([10.0], [], None),
        ([10.0], [0.0], None),
        ([10.0, 30.0], [10.0], 1.0),
        ([2.0, 9.0], [0.0, 3.0], 3.0),
    ],
)
def test_a_ratio_needs_a_round_that_has_both(ones: list[float], others: list[float], expected: float | None) -> None:
    assert ratio([sample(rate) for rate in ones], [sample(rate) for rate in others]) == expected


@pytest.mark.parametrize(
    ("patterns", "matches"),
    [
        ([], True),
        (["m/*"], True),
        (["*/c8"], True),
        (["*/c1"], False),
        (["x", "m/p/in-process/c8"], True),
        (["m"], False),
    ],
)
def test_points_are_chosen_by_name(patterns: list[str], matches: bool) -> None:
    assert point(IN_PROCESS, 8).matches(patterns) is matches


@pytest.mark.parametrize(("concurrency", "cores", "expected"), [(1, 2, 1), (8, 2, 2), (32, 4, 4), (8, 1, 1)])
def test_the_ceiling_of_a_lone_client_is_of_one_image(concurrency: int, cores: int, expected: int) -> None:
    assert point(GRPC, concurrency).ceiling(cores) == point(CEILING, expected)


@pytest.mark.parametrize(
    ("value", "words"),
    [(None, ""), (0.0123, "0.0123"), (9.994, "9.99"), (99.6, "99.6"), (100.4, "100"), (12345.6, "12,346")],
)
def test_figures_have_three_digits(value: float | None, words: str) -> None:
    assert brief(value) == words


def test_the_table_has_every_row_and_says_what_it_is_of() -> None:
    console = Console(width=160, file=io.StringIO(), record=True)
    console.print(table_of(rows_of(MEASURED, cores=2), MADE))
    lines = [" ".join(line.split()) for line in console.export_text().splitlines()]
    assert lines[0] == "model picture way c req/s p50 ms p95 ms p99 ms CPU-ms PSS MB of ceiling × baseline errors"
    assert lines[2] == "m p in-process 8 90 4 8 12 2 30 0.80 3.00"
    assert lines[3].endswith(" 2")
    assert "a processor, 2 cores; load by wrk; medians of 3 rounds" in lines[-1]


def test_columns_without_figures_are_left_out() -> None:
    table = table_of(rows_of({point("server", 1): [sample(5)]}, cores=2), MADE)
    assert [column.header for column in table.columns][-4:] == ["req/s", "p50 ms", "p95 ms", "p99 ms"]


def test_resident_memory_is_not_called_proportional() -> None:
    resident = Sample(Load(1, 1.0, 1, 1, 1), cpu_ms=1.0, memory=Memory(5_000_000, proportional=False))
    table = table_of(rows_of({point(GRPC, 1): [sample(1, megabytes=5)], point(GRPC, 8): [resident]}, cores=2), MADE)
    assert "RSS MB (no PSS here)" in [column.header for column in table.columns]


def test_the_document_has_every_round() -> None:
    document = json.loads(orjson.dumps(document_of(rows_of(MEASURED, cores=2), MEASURED, MADE)))
    row = document["rows"][1]
    assert row["name"] == "m/p/in-process/c8"
    assert (row["requests_per_s"], row["of_ceiling"], row["rounds"]) == (90, 0.8, 3)
    assert [each["load"]["requests"] for each in row["each_round"]] == [900, 1500, 800]
    assert document["circumstances"]["cores"] == 2


def test_bars_are_drawn_against_the_ceiling() -> None:
    groups = groups_of(rows_of(MEASURED, cores=2))
    assert [(group.title, [bar.way for bar in group.bars]) for group in groups] == [
        ("m, p, c = 8", [IN_PROCESS, BASELINE]),
        ("m, p, c = 1", [IN_PROCESS]),
    ]
    assert [bar.share for bar in groups[0].bars] == [0.8, 0.3]


def test_bars_without_a_ceiling_are_drawn_against_the_longest() -> None:
    [group] = groups_of(rows_of({point(GRPC, 8): [sample(20)], point(BASELINE, 8): [sample(5)]}, cores=2))
    assert [bar.share for bar in group.bars] == [1.0, 0.25]


def test_the_plot_is_an_svg_document() -> None:
    document = ET.fromstring(svg_of(rows_of(MEASURED, cores=2), "a < b"))
    space = "{http://www.w3.org/2000/svg}"
    widths = [float(bar.get("width") or 0) for bar in document.findall(f"{space}rect")[1:]]
    assert widths[0] == pytest.approx(widths[2])
    assert widths[1] == pytest.approx(widths[0] * 0.3 / 0.8, abs=0.1)
    assert "a < b" in [text.text for text in document.findall(f"{space}text")]


def test_circumstances_are_of_this_machine() -> None:
    made = circumstances("wrk", 3, 2)
    assert made.processor
    assert set(made.versions) == {"grayscale", "onnxruntime", "uvicorn"}
