"""Results as rows of a table, by the model's task."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import orjson
import pytest

from services.cli.jobs.result_rows import COLUMNS, row_of, write_csv

SERVED = {"model": "m", "version": 3, "arm": "candidate"}


def answered(predictions: Any) -> dict[str, Any]:
    result = {"served_by": SERVED, "feedback_id": "f1", "predictions": predictions, "image": {"width": 8}}
    return {"index": 4, "name": "a.png", "result": result}


def test_of_a_classification_the_best_has_columns_of_its_own() -> None:
    best, other = {"label": "cat", "index": 1, "score": 0.75}, {"label": "dog", "index": 0, "score": 0.25}
    assert row_of(answered([best, other])) == {
        "index": 4,
        "name": "a.png",
        "label": "cat",
        "score": 0.75,
        "model": "m",
        "version": 3,
        "arm": "candidate",
        "feedback_id": "f1",
    }


@pytest.mark.parametrize(
    "predictions",
    [
        [{"label": "dog", "index": 1, "score": 0.5, "box": [1.0, 2.0, 3.0, 4.0]}],
        [],
        {"embedding": [0.5, -1.0]},
        {"classes": [{"label": "sky", "index": 0, "share": 0.9}], "mask_png_b64": "iVBORw0KGgo="},
    ],
    ids=["detection", "nothing found", "embedding", "segmentation"],
)
def test_answers_of_other_tasks_are_json_in_one_column(predictions: Any) -> None:
    row = row_of(answered(predictions))
    assert orjson.loads(row["predictions"]) == predictions
    assert "label" not in row


def test_an_image_without_an_answer_has_the_reason() -> None:
    error = {"cause": "undecodable_image", "detail": "the image is empty: 0 bytes"}
    assert row_of({"index": 0, "name": "a.png", "error": error}) == {
        "index": 0,
        "name": "a.png",
        "error": "undecodable_image",
        "detail": "the image is empty: 0 bytes",
    }


@pytest.mark.parametrize("result", [{"index": 1}, {"index": 1, "result": None}, {"index": 1, "error": None}])
def test_a_line_that_says_little_is_a_row_all_the_same(result: dict[str, Any]) -> None:
    row = row_of(result)
    assert row["index"] == 1
    assert row.keys() <= set(COLUMNS)


def test_what_is_special_in_a_table_is_quoted(tmp_path: Path) -> None:
    name = 'a,b"c\nd;é.png'
    (tmp_path / "lines").write_bytes(orjson.dumps(answered([]) | {"name": name}) + b"\n")
    write_csv(tmp_path / "lines", tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(newline="", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert row["name"] == name
    assert tuple(row) == COLUMNS
