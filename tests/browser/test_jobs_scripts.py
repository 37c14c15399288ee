"""What the scripts of the Jobs page decide, as tables of cases: what is sent, and what a line of results says."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from playwright.sync_api import Browser, Page

from services.cli.jobs.result_rows import COLUMNS, row_of
from services.cli.jobs.sources import EXTENSIONS
from tests.support.chromium import fresh_page

LIMITS = {"max_images": 3, "max_bytes": 10_000, "max_image_bytes": 4000}
SELECTED = """
async ([files, limits]) => {
    const {NOTHING, withFiles, parcelsOf} = await import("/scripts/jobs-sources.js");
    const found = files.map(([path, size]) => ({path, file: size === null ? null : {size, type: "", lastModified: 1}}));
    const selection = withFiles(withFiles(NOTHING, found, limits), found.slice(0, 2), limits);
    return {
        skipped: Object.fromEntries(selection.skipped.map(({path, why}) => [path, why])),
        parcels: parcelsOf(selection, limits).map(({files}) => files.map(({path}) => path)),
    };
}
"""


@pytest.fixture(scope="module")
def scripts(browser: Browser, web_url: str) -> Iterator[Page]:
    """A page that may import them and runs none."""
    with fresh_page(browser) as page:
        page.goto(f"{web_url}/icon.svg")
        yield page


def selected(page: Page, *files: tuple[str, int | None]) -> dict[str, Any]:
    found: dict[str, Any] = page.evaluate(SELECTED, [[list(file) for file in files], LIMITS])
    return found


@pytest.mark.parametrize(
    ("path", "size", "why"),
    [
        ("a.txt", 10, "is no picture that the server reads"),
        ("a.svg", 10, "is no picture that the server reads"),
        ("png", 10, "is no picture that the server reads"),
        (".a.png", 10, "is hidden"),
        ("album/.cache/a.png", 10, "is hidden"),
        ("__MACOSX/a.png", 10, "is hidden"),
        ("a.png", 4001, "is larger than the server takes"),
        ("a.zip", 10_001, "is larger than the server takes"),
        ("a.png", None, "cannot be read"),
    ],
)
def test_what_is_left_out_has_a_reason(scripts: Page, path: str, size: int | None, why: str) -> None:
    assert selected(scripts, (path, size)) == {"skipped": {path: why}, "parcels": []}


def test_the_page_takes_what_the_command_line_takes(scripts: Page) -> None:
    for extension in sorted(EXTENSIONS):
        for name in (f"a{extension}", f"A{extension.upper()}"):
            assert selected(scripts, (name, 10)) == {"skipped": {}, "parcels": [[name]]}


@pytest.mark.parametrize(
    ("files", "parcels"),
    [
        ([("b.png", 1), ("a.png", 1)], [["a.png", "b.png"]]),  # by their names, each once
        ([("10.png", 1), ("9.png", 1)], [["9.png", "10.png"]]),
        ([(f"{n}.png", 1) for n in range(4)], [["0.png", "1.png", "2.png"], ["3.png"]]),  # too many
        ([(f"{n}.png", 4000) for n in range(3)], [["0.png", "1.png"], ["2.png"]]),  # too many bytes
        ([("a.zip", 9000), ("a.png", 1), ("b.zip", 1)], [["a.png"], ["a.zip"], ["b.zip"]]),  # archives alone
    ],
)
def test_pictures_go_in_as_few_jobs_as_hold_them(
    scripts: Page, files: list[tuple[str, int]], parcels: list[list[str]]
) -> None:
    assert selected(scripts, *files)["parcels"] == parcels


def best(*pairs: tuple[str, float]) -> list[dict[str, Any]]:
    return [{"label": label, "index": 0, "score": score} for label, score in pairs]


def boxes(*pairs: tuple[str, float]) -> list[dict[str, Any]]:
    return [{**each, "box": [0, 0, 1, 1]} for each in best(*pairs)]


MASK = {"classes": [{"label": "sky", "index": 0, "share": 0.2}, {"label": "car", "index": 1, "share": 0.8}]}
ANSWERS: list[tuple[Any, list[Any]]] = [  # label, score and note
    (best(("7", 0.95), ("1", 0.05)), ["7", 0.95, ""]),
    (best(("7", 0.6), ("1", 0.3)), ["7", 0.6, "or 1, 30 %"]),
    (boxes(("cat", 0.4), ("dog", 0.9), ("cat", 0.3)), ["cat, dog", 0.9, "3 objects"]),
    ([], ["nothing found", None, "0 objects"]),
    (MASK, ["car", None, "car 80 %, sky 20 %"]),
    ({"embedding": [0.5, 1.5]}, ["embedding of 2 numbers", None, ""]),
]


@pytest.mark.parametrize(("predictions", "row"), ANSWERS)
def test_an_answer_of_any_task_is_a_row(scripts: Page, predictions: Any, row: list[Any]) -> None:
    script = """
    async (line) => {
        const {label, score, note} = (await import("/scripts/jobs-rows.js")).rowOf(line);
        return [label, score, note];
    }
    """
    assert scripts.evaluate(script, {"index": 3, "name": "a.png", "result": {"predictions": predictions}}) == row


def test_the_table_to_download_is_the_one_of_the_command_line(scripts: Page) -> None:
    served = {"served_by": {"model": "digits", "version": 1, "arm": "stable"}, "feedback_id": "f"}
    lines: list[dict[str, Any]] = [
        {"index": index, "name": 'a "b",\nc.png', "result": {**served, "predictions": predictions}}
        for index, (predictions, _) in enumerate(ANSWERS)
    ]
    lines.append({"index": 9, "name": "x", "error": {"cause": "undecodable_image", "detail": "it is none, it says"}})
    script = """
    async (lines) => {
        const {csvHeader, csvOf} = await import("/scripts/jobs-rows.js");
        return csvHeader() + lines.map(csvOf).join("");
    }
    """
    header, *rows = csv.reader(scripts.evaluate(script, lines).splitlines(keepends=True))
    assert tuple(header) == COLUMNS
    for row, line in zip(rows, lines, strict=True):
        ours = {name: str(row_of(line).get(name, "")) for name in COLUMNS}
        assert _parsed(dict(zip(header, row, strict=True))) == _parsed(ours)


def _parsed(row: dict[str, str]) -> dict[str, Any]:
    """JSON is compared by what it says: 1.0 is 1 in JavaScript."""
    return {**row, "predictions": orjson.loads(row["predictions"] or "null")}
