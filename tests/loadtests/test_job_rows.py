"""What the figures of jobs mean: by hand."""

from __future__ import annotations

import io
from dataclasses import replace

import orjson
import pytest
from rich.console import Console

from loadtests.job_rows import Round, bounds_of, document_of, images_for, row_of, table_of, window_s
from services.cli.measure.load import Load

SYNC = Load(requests=1000, seconds=10.0, p50_ms=300.0, p95_ms=350.0, p99_ms=400.0)
ALONE = Load(requests=500, seconds=10.0, p50_ms=10.0, p95_ms=15.0, p99_ms=20.0)
BESIDE = Load(requests=400, seconds=10.0, p50_ms=12.0, p95_ms=18.0, p99_ms=26.0)
ROUND = Round(SYNC, 500, 98.0, 0.5, ALONE, BESIDE)
SLOW = replace(ROUND, bulk_per_s=90.0, beside=replace(BESIDE, p99_ms=40.0), covered=0.8)
QUICK = replace(ROUND, bulk_per_s=110.0, submit_s=0.25, beside=replace(BESIDE, p99_ms=22.0))


def test_a_row_has_the_medians_of_its_rounds() -> None:
    row = row_of("m", "w", [SLOW, ROUND, QUICK])
    assert (row.title, row.way, row.rounds) == ("m", "w", (SLOW, ROUND, QUICK))
    assert [row.sync_per_s, row.bulk_per_s, row.of_sync] == pytest.approx([100.0, 98.0, 0.98])
    assert [row.submit_per_s, row.beside_per_s] == pytest.approx([1000.0, 40.0])
    assert [row.p50_alone_ms, row.p50_ratio] == pytest.approx([10.0, 1.2])
    assert [row.p99_alone_ms, row.p99_beside_ms, row.p99_ratio] == pytest.approx([20.0, 26.0, 1.3])
    assert (row.covered, row.errors) == (0.8, 0)


def test_a_ratio_is_of_the_figures_of_one_round() -> None:
    other = Round(replace(SYNC, requests=2000), 500, 196.0, 0.5, ALONE, BESIDE)
    assert row_of("m", "w", [ROUND, other]).of_sync == pytest.approx(0.98)


@pytest.mark.parametrize("what", ["sync", "alone", "beside"])
def test_errors_of_every_kind_are_counted(what: str) -> None:
    bad = replace(getattr(ROUND, what), refused=2, broken=1)
    row = row_of("m", "w", [ROUND, replace(ROUND, **{what: bad})])
    assert row.errors == 3
    assert [bound.is_met for bound in bounds_of(row, is_shared=False)] == [None, None]


@pytest.mark.parametrize(
    ("bulk_per_s", "p99_ms", "met"),
    [(95.0, 30.0, [True, True]), (94.0, 30.0, [False, True]), (120.0, 30.1, [True, False]), (50.0, 60.0, [False] * 2)],
)
def test_targets_are_met_or_not(bulk_per_s: float, p99_ms: float, met: list[bool]) -> None:
    made = replace(ROUND, bulk_per_s=bulk_per_s, beside=replace(BESIDE, p99_ms=p99_ms))
    assert [bound.is_met for bound in bounds_of(row_of("m", "w", [made]), is_shared=False)] == met


def test_nothing_is_asked_of_a_shared_model_server() -> None:
    assert bounds_of(row_of("m", "w", [SLOW]), is_shared=True) == ()


@pytest.mark.parametrize(
    ("images", "images_per_s", "longest_s", "expected"),
    [
        (500, 100.0, 5, 4),  # 5 s of work, of which nine tenths
        (500, 10.0, 5, 5),
        (20_000, 10_000.0, 5, 2),
        (500, 10_000.0, 5, 1),
        (500, 0.0, 5, 5),
    ],
)
def test_one_client_is_measured_while_the_job_lasts(
    images: int, images_per_s: float, longest_s: int, expected: int
) -> None:
    assert window_s(images, images_per_s, longest_s) == expected


@pytest.mark.parametrize(
    ("seconds", "images_per_s", "most", "expected"),
    [(5.0, 66.0, 20_000, 300), (5.0, 9_000.0, 20_000, 20_000), (5.0, 3.0, 20_000, 100), (2.0, 1_449.0, 20_000, 2_900)],
)
def test_a_job_keeps_the_worker_busy_for_a_while(seconds: float, images_per_s: float, most: int, expected: int) -> None:
    assert images_for(seconds, images_per_s, most) == expected


def test_the_document_has_every_round_and_every_target() -> None:
    row = row_of("m", "w", [ROUND, SLOW])
    document = orjson.loads(orjson.dumps(document_of(row, bounds_of(row, is_shared=False))))
    assert [each["bulk_per_s"] for each in document["rounds"]] == [98.0, 90.0]
    assert [target["is_met"] for target in document["targets"]] == [False, False]


def test_the_table_says_what_was_measured_and_what_failed() -> None:
    bad = replace(ROUND, sync=replace(SYNC, refused=7))
    written = io.StringIO()
    Console(file=written, width=160).print(
        table_of([row_of("m", "own engine", [ROUND]), row_of("m", "model server", [bad])], "2 cores")
    )
    lines = written.getvalue().splitlines()
    assert [line.split()[0] for line in lines[:3]] == ["model", "m", "m"]
    assert "0.98" in lines[1]
    assert "1.30" in lines[1]
    assert lines[1].rstrip().endswith("100%")
    assert lines[2].split()[-1] == "7"
    assert "2 cores" in lines[3]
